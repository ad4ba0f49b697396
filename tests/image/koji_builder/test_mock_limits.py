"""What one build can take: the builder and other builds survive a build that takes too much."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.image.koji_builder.buildroots import CAPABILITIES, IMAGE, Buildroot, Maker
from tests.image.koji_builder.conftest import supply
from tests.image.tracked import Containers, wait_until

# As large as kojid and more: the kernel's first choice without our advice.
BYSTANDER = (
    "import time; held = bytearray(200_000_000); print('ready', flush=True); time.sleep(600)"
)
# Many processes, each smaller than the bystander, and larger than a mock.
HOGS = "for n in $(seq 15); do (head -c 60M /dev/zero | tail -c 60M | sleep 20) & done; wait"


@pytest.fixture
def builder(containers: Containers) -> Callable[..., Maker]:
    """Makes a builder without kojid, with options of the engine's."""

    def make(**options: Any) -> Maker:
        command = ("python3", "-c", BYSTANDER)
        container = containers.start(
            IMAGE, *command, healthcheck={"test": ["NONE"]}, **options, **CAPABILITIES
        )
        supply(container)
        wait_until(lambda: container.logs() == b"ready\n", 30)
        return Maker(container)

    return make


def is_alive(buildroot: Buildroot) -> bool:
    buildroot.container.reload()
    return bool(buildroot.container.status == "running" and buildroot.processes())


def test_a_build_that_takes_all_memory_is_killed_alone(builder: Callable[..., Maker]) -> None:
    """Before the builder's own processes, which have more memory than each of the build's."""
    make = builder(mem_limit="700m", memswap_limit="700m")
    hog, other = make().initialise(), make().initialise()
    other.mock_in_background("--chroot", "--", "sleep", "600")
    hog.mock("--chroot", HOGS)
    assert is_alive(other), other.log("root")[-500:]
