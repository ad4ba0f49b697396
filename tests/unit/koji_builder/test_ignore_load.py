"""koji-builder's plugin ignore_load, in a process that looks like kojid, and in others."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import logging, os, runpy, sys
logging.basicConfig(level="INFO")
{kojid}
os.getloadavg = lambda: (99.0, 99.0, 99.0)
runpy.run_path(sys.argv[1], run_name="ignore_load")
print(os.getloadavg()[0])
"""
KOJID = """
class TaskManager:
    def readyForTask(self):
        return {reads}
"""


@pytest.mark.parametrize(
    ("kojid", "load", "log"),
    [
        (KOJID.format(reads="os.getloadavg()"), "0.0", "INFO:koji.ignore_load:ignoring the load"),
        (KOJID.format(reads="True"), "99.0", "WARNING:koji.ignore_load:TaskManager.readyForTask"),
        ("", "99.0", ""),
    ],
)
def test_only_kojid_sees_an_idle_machine(checkout: Path, kojid: str, load: str, log: str) -> None:
    plugin = str(checkout / "koji-builder/ignore_load.py")
    ended = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(kojid=kojid), plugin],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    assert ended.stdout.strip() == load
    assert ended.stderr.startswith(log)
