"""koji-builder's plugin shared_machine, in a process that takes itself for kojid, and in others."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import os, runpy, sys
{kojid}
os.getloadavg = lambda: (99.0, 99.0, 99.0)
runpy.run_path(sys.argv[1], run_name="shared_machine")
print(os.getloadavg()[0])
"""


@pytest.mark.parametrize(("kojid", "load"), [("WaitrepoTask = None", "0.0"), ("", "99.0")])
def test_only_kojid_is_told_that_nothing_is_going_on(checkout: Path, kojid: str, load: str) -> None:
    plugin = str(checkout / "koji-builder/shared_machine.py")
    ended = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(kojid=kojid), plugin],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    assert ended.stdout.strip() == load
