"""A warning for an old Koji that other machines can reach."""

import re
from ipaddress import ip_address

from nagoya.engine import containers
from nagoya.koji.hub import HubConnection
from nagoya.koji.profile import Profile
from nagoya.system.system import System

_CALL_SECONDS = 10
_OLDEST = (1, 33)
"""From this version on, kojiweb's pages escape what they print. Its predecessors had several
vulnerabilities, and get no corrections."""


def warnings(system: System) -> list[str]:
    """A line if the hub is published beyond this machine and its Koji is old. Asks the hub.

    Raises LifecycleError; the errors of koji are those of `hub_errors`.
    """
    hub = containers.get(system.engine, f"{system.name}-{Profile.load(system).hub}")
    published = set(containers.state(hub, reload=False).addresses.values())
    reachable = sorted(address for address in published if not ip_address(address).is_loopback)
    if not reachable:
        return []
    version = HubConnection.of(system).session(None, seconds=_CALL_SECONDS).getKojiVersion()
    if tuple(int(number) for number in re.findall(r"\d+", version)[:2]) >= _OLDEST:
        return []
    return [
        f"other machines can reach this Koji, published on {', '.join(reachable)}; version "
        f"{version} gets no more corrections: read docs/security.md, or upgrade (docs/data.md)"
    ]
