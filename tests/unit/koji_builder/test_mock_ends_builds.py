"""koji-builder's plugin mock_ends_builds, on processes of this machine and on made-up ones."""

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest


@pytest.fixture
def plugin(load_script: Callable[[str], ModuleType]) -> ModuleType:
    return load_script("koji-builder/mock_ends_builds.py")


@pytest.fixture
def manager(plugin: ModuleType) -> Any:
    class TaskManager:
        _childPIDs = _getStat = None

    plugin.install(TaskManager)
    return TaskManager()


@pytest.fixture
def family() -> Iterator["subprocess.Popen[bytes]"]:
    """A shell with a child, whose name and arguments are not text."""
    script = b"exec -a $'\\xff\\n)' sleep 987 & echo; wait"
    command = ["bash", "-c", script]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as shell:
        assert shell.stdout
        shell.stdout.readline()
        yield shell
        children = Path(f"/proc/{shell.pid}/task/{shell.pid}/children").read_text().split()
        subprocess.run(["kill", *children], check=True)


def test_a_process_is_found_whatever_its_arguments_are(
    manager: Any, family: "subprocess.Popen[bytes]"
) -> None:
    (pid, command), (child, arguments) = manager._childPIDs(family.pid)
    assert pid == family.pid
    assert command.startswith("bash -c exec -a")
    stat = manager._getStat(child)
    assert stat[:2] == [child, arguments]
    assert stat[3] == family.pid
    assert arguments.isprintable()


def make_process(
    proc: Path, pid: int, parent: int, namespaces: str, arguments: bytes = b"mock\0-v\0"
) -> None:
    folder = proc / str(pid)
    folder.mkdir()
    (folder / "stat").write_bytes(b"%d (\xff) 1) S %d 1" % (pid, parent))
    (folder / "cmdline").write_bytes(arguments)
    (folder / "status").write_text(
        f"Name:\tmock\nPid:\t{pid}\nPPid:\t{parent}\nNSpid:\t{namespaces}\nSeccomp:\t2\n"
    )


def test_processes_of_a_build_are_left_to_mock(plugin: ModuleType, tmp_path: Path) -> None:
    make_process(tmp_path, os.getpid(), 1, str(os.getpid()))
    make_process(tmp_path, 10_000_001, os.getpid(), "10000001")
    make_process(tmp_path, 10_000_002, 10_000_001, "10000002")
    make_process(tmp_path, 10_000_003, 10_000_002, "10000003\t1", b"")
    make_process(tmp_path, 10_000_004, 10_000_003, "10000004\t2", b"\xff" * 10**6)
    # One without arguments, such as a zombie; kojid does not look at those.
    make_process(tmp_path, 10_000_005, 10_000_001, "10000005", b"")
    children = plugin.Processes(tmp_path).child_pids(10_000_001)
    assert children == [(10_000_001, "mock -v"), (10_000_002, "mock -v")]


def test_a_command_is_short(plugin: ModuleType, tmp_path: Path) -> None:
    make_process(tmp_path, 7, 1, "7", b"\xff" * 10**6)
    assert len(plugin.Processes(tmp_path).get_stat(7)[1]) == 4096


def test_a_process_that_is_gone_has_no_fields(manager: Any) -> None:
    assert manager._getStat(2**22 + 1) is None
    assert manager._childPIDs(2**22 + 1) == []


def test_another_kojid_stays_as_it_is(plugin: ModuleType, caplog: pytest.LogCaptureFixture) -> None:
    plugin.install(SimpleNamespace())
    assert "nothing to do" in caplog.text
