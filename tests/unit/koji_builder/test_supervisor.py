"""koji-builder's supervisor, in a process of its own, with a shell as kojid, and a hub."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

Start = Callable[[str, str], subprocess.Popen[bytes]]

HEADER = """\
import sys
from importlib.util import module_from_spec, spec_from_file_location
spec = spec_from_file_location("supervisor", sys.argv[1])
supervisor = module_from_spec(spec)
spec.loader.exec_module(supervisor)
supervisor.GRACE = supervisor.GRACE_WITHOUT_HUB = 0.3
def leave():
    with open("asked", "a") as file:
        print("leave", file=file)
    return sys.argv[2] == "answers"
sys.exit(supervisor.main(supervisor.Daemon("kojid", ("sh", "-c", sys.argv[3])), leave))
"""


@pytest.fixture
def start(tmp_path: Path, checkout: Path) -> Start:
    """Start a supervisor. `hub` is "answers" or "silent", `text` the script that replaces kojid."""

    def start(hub: str, text: str) -> subprocess.Popen[bytes]:
        script = str(checkout / "koji-builder/supervisor.py")
        process = subprocess.Popen(
            [sys.executable, "-c", HEADER, script, hub, text],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(checkout)},
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 10
        while not (tmp_path / "up").exists():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        return process

    return start


WAIT = "echo > up; while :; do sleep 0.02; done"
ENDS, STAYS = f"trap 'exit 0' TERM; {WAIT}", f"trap '' TERM; {WAIT}"


@pytest.mark.parametrize(
    ("hub_and_kojid", "status", "requests"),
    [
        (("answers", ENDS), 0, ["leave"]),
        (("answers", STAYS), 137, ["leave"]),
        (("silent", ENDS), 0, ["leave"]),
        (("silent", STAYS), 137, ["leave"]),
    ],
)
def test_leaves_before_it_stops(
    start: Start, tmp_path: Path, hub_and_kojid: tuple[str, str], status: int, requests: list[str]
) -> None:
    process = start(*hub_and_kojid)
    process.terminate()
    assert process.wait(timeout=10) == status
    assert (tmp_path / "asked").read_text().split() == requests


def test_a_kojid_that_ends_by_itself_asks_nothing(start: Start, tmp_path: Path) -> None:
    assert start("answers", "echo > up; exit 3").wait(timeout=10) == 3
    assert not (tmp_path / "asked").exists()
