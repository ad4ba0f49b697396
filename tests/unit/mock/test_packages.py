"""What mock makes of dnf's output."""

from collections.abc import Callable
from types import ModuleType

import pytest

Driver = Callable[[str], ModuleType]
FAILED = b"[FAILED] a.rpm: No more mirrors to try - All mirrors were already tried without success"


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        (b"Curl error (7): Couldn't connect to server for https://koji/repos/repomd.xml", True),
        (b"Status code: 503 for https://koji/repos/repomd.xml (IP: 172.20.0.3)", True),
        (b"Cannot download, all mirrors were already tried without success", True),
        (FAILED, True),
        (b"[MIRROR] a.rpm: Status code: 404 for https://koji/a.rpm\n" + FAILED, False),
        (b"[MIRROR] a.rpm: Downloading successful, but checksum doesn't match.\n" + FAILED, False),
        (b"No match for argument: gcc", False),
    ],
)  # fmt: skip
def test_dnf_tries_again_if_a_server_is_away(driver: Driver, output: bytes, expected: bool) -> None:
    assert driver("packages").is_out_of_reach(output) is expected
