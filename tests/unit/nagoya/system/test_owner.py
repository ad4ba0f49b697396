"""Whose a system is, and when it is nobody's any more."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from nagoya.system import owner
from nagoya.system.owner import HOME_LABEL, OWNER_LABEL, PROCESS_LABEL, Owner


def test_what_a_user_makes_is_never_stale() -> None:
    owner = Owner.user()
    assert owner.labels == {OWNER_LABEL: owner.name}
    assert Owner.of(owner.labels) == owner
    assert owner.home == Path.home()
    assert not owner.stale


def test_what_a_process_makes_is_its_own_while_it_lives(tmp_path: Path) -> None:
    owner = Owner.this_process(tmp_path)
    assert set(owner.labels) == {OWNER_LABEL, PROCESS_LABEL, HOME_LABEL}
    assert Owner.of(owner.labels) == owner
    assert owner.home == tmp_path
    assert not owner.stale


def test_what_a_process_left_is_stale(tmp_path: Path) -> None:
    script = (
        "from pathlib import Path; from nagoya.system.owner import Owner;"
        f"print(Owner.this_process(Path({str(tmp_path)!r})).process)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert Owner(Owner.user().name, ended.stdout.strip()).stale


def test_a_process_that_has_only_the_number_is_another() -> None:
    namespace, pid, start = str(Owner.this_process(Path("/")).process).split(":")
    assert Owner(Owner.user().name, f"{namespace}:{pid}:{int(start) - 1}").stale


def test_a_zombie_has_ended() -> None:
    process = subprocess.Popen(["true"])
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert owner._start(process.pid) is None
    process.wait()


@pytest.mark.parametrize(
    ("name", "process"), [("root@elsewhere", "1:1:1"), (Owner.user().name, "1:999999999:1")]
)
def test_of_another_machine_or_namespace_nothing_is_known(name: str, process: str) -> None:
    owner = Owner(name, process, "/somebody/elses")
    assert not owner.stale
    assert (owner.home == Path.home()) == name.endswith("@elsewhere")


def test_without_labels_there_is_no_owner() -> None:
    assert Owner.of({"nagoya.system": "x"}) is None
