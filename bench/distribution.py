"""A build in the distribution that the tests make of Debian's packages, beside mock alone on it.

Some 150 packages are in its buildroots.
"""

import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from bench.builds import MOCK_ALONE, mock_alone, wait_until_closed, write_mock_config
from bench.systems import BenchSystem
from bench.table import Row, side_by_side
from nagoya.config import extends, loader
from tests.system import distributions
from tests.system.conftest import Koji

PACKAGE = "popt"
_SRPM = "/var/tmp/bench.src.rpm"
_AIM = "<= 1.3 times mock + 3 s"
_UPSTREAMS = """
config_opts['package_manager'] = 'dnf5'
config_opts['use_bootstrap'] = False
"""


def distribution_rows(
    system: BenchSystem, rounds: int, config: str = "nagoya", mocks: tuple[str, ...] = ("ours",)
) -> Iterator[Row]:
    """A build by each of these mocks, "ours" and "upstreams"; `config` names the moromi.yml of the
    system."""
    path = extends.resolve(config, Path.cwd())
    koji = Koji(system.name, Path(system.environment["HOME"]), path)
    site = distributions.start(lambda name: koji, loader.read(path), "short", {}, [PACKAGE])
    with (site.sources / site.manifest[PACKAGE]["srpm"]).open("rb") as file:
        system.execute("kojibuilder", "tee", _SRPM, stdin=file.read())
    for mock in mocks:
        tag = f"bench-{mock}"
        extra, more = (distributions.UPSTREAMS, _UPSTREAMS) if mock == "upstreams" else ({}, "")
        distributions.add_target(site.session, tag, extra=extra)
        write_mock_config(system, tag, more, tag)
        (build,), (alone,) = side_by_side(
            rounds,
            partial(_build, site, tag),
            partial(_alone, system, tag),
        )
        yield Row(
            f"{PACKAGE} in the test distribution, {mock}", build, "s", alone, MOCK_ALONE, _AIM
        )


def _build(site: distributions.DistributionKoji, target: str) -> tuple[float]:
    start = time.monotonic()
    wait_until_closed(site.session, site.submit(PACKAGE, "srpm", target, scratch=True))
    return (time.monotonic() - start,)


def _alone(system: BenchSystem, name: str) -> tuple[float]:
    return (mock_alone(system, name, _SRPM),)
