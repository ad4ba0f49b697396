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
    assert Owner.from_labels(owner.labels) == owner
    assert owner.home == Path.home()
    assert not owner.stale


def test_what_a_process_makes_is_its_own_while_it_lives(tmp_path: Path) -> None:
    owner = Owner.this_process(tmp_path)
    assert set(owner.labels) == {OWNER_LABEL, PROCESS_LABEL, HOME_LABEL}
    assert Owner.from_labels(owner.labels) == owner
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
    *where, pid, start = str(Owner.this_process(Path("/")).process).split(":")
    assert Owner(Owner.user().name, ":".join([*where, pid, str(int(start) - 1)])).stale


def test_a_zombie_has_ended() -> None:
    process = subprocess.Popen(["true"])
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert owner._start_time(process.pid) is None
    process.wait()


BOOT, NAMESPACE, *_ = str(Owner.this_process(Path("/")).process).split(":")


@pytest.mark.parametrize(
    ("boot", "namespace"),
    # Two machines may have one name, such as localhost, and one number of a namespace.
    [("another-boot", NAMESPACE), (BOOT, "1")],
)
def test_of_another_machine_or_namespace_nothing_is_known(boot: str, namespace: str) -> None:
    assert Owner(Owner.user().name, f"{BOOT}:{NAMESPACE}:999999999:1").stale
    assert not Owner(Owner.user().name, f"{boot}:{namespace}:999999999:1").stale


@pytest.mark.parametrize("name", ["root@elsewhere", Owner.user().name])
def test_a_folder_of_another_machine_is_no_home(name: str) -> None:
    home = Owner(name, None, "/somebody/elses").home
    assert (home == Path.home()) == name.endswith("@elsewhere")


def test_the_process_has_its_number() -> None:
    assert Owner.this_process(Path("/")).pid == os.getpid()
    assert Owner.user().pid is None


def test_without_labels_there_is_no_owner() -> None:
    assert Owner.from_labels({"nagoya.system": "x"}) is None
