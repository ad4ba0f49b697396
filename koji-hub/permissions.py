"""Refuses changes that Koji lets anybody make, without a log-in.

`getPackage` and `getTagID` make the name that they look for, if a client asks them to: rows of the
database without limit, and names that no other call would take. `host.writeSignedRPM`, a builder's
call, does not look who calls it, and writes a second copy of any RPM to the disk.
"""

import functools
from collections.abc import Callable
from typing import Any

LOOKUPS = ("getPackage", "getTagID")


def check_permissions(kojihub: Any) -> None:
    """Have Koji refuse such calls. `kojihub` is its module, or since 1.31 its package."""
    for name in LOOKUPS:
        look_up = _without_creation(kojihub.koji, getattr(kojihub.RootExports, name))
        setattr(kojihub.RootExports, name, staticmethod(look_up))
    write = kojihub.HostExports.writeSignedRPM

    @functools.wraps(write)
    def verify_and_write(self: Any, an_rpm: Any, sigkey: Any, force: Any = False) -> Any:
        kojihub.Host().verify()
        return write(self, an_rpm, sigkey, force)

    kojihub.HostExports.writeSignedRPM = verify_and_write


def _without_creation(koji: Any, look_up: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(look_up)
    def look_up_only(info: Any, strict: Any = False, create: Any = False) -> Any:
        if create:
            raise koji.ActionNotAllowed("this call looks up a name, and cannot create one here")
        return look_up(info, strict)

    return look_up_only
