"""mock's calls of the kernel: who owns the user namespace of a chroot's network."""

from collections.abc import Callable
from types import ModuleType

import pytest


@pytest.mark.parametrize(
    ("uid_map", "owner"),
    [
        ("         0          0 4294967295\n", 0x7FFF_FFF0),
        # Rootless Podman: the user, and the 65,536 of /etc/subuid.
        ("         0       1000          1\n         1     100000      65536\n", 65536),
        # Docker's userns-remap.
        ("         0     100000      65536\n", 65535),
    ],
)
def test_the_owner_is_a_user_of_the_engines_namespace(
    driver: Callable[[str], ModuleType], uid_map: str, owner: int
) -> None:
    assert driver("kernel").choose_owner(uid_map) == owner
