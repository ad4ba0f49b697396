"""How much a build may take, as far as it can be seen without one."""

import os
import threading
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

Driver = Callable[[str], ModuleType]


@pytest.fixture
def limits(driver: Driver) -> ModuleType:
    return driver("limits")


@pytest.mark.parametrize(
    ("files", "limit"),
    [
        ({"pids.max": "16384\n"}, 16384),
        ({"pids/pids.max": "512\n"}, 512),
        ({"pids.max": "max\n"}, None),
        ({}, None),
    ],
    ids=["version 2", "version 1", "none", "no control groups"],
)
def test_the_engines_limit(
    limits: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, files: dict[str, str],
    limit: int | None,
) -> None:  # fmt: skip
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(limits, "CGROUPS", tmp_path)
    assert limits.engine_limit("pids", "pids.max") == limit


def test_threads_count(limits: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits.os, "listdir", lambda _: ["self", "mounts", str(os.getpid()), "0"])
    end = threading.Event()
    before = limits.count_threads(100)
    thread = threading.Thread(target=end.wait)
    thread.start()
    assert limits.count_threads(100) == before + 1
    end.set()
    thread.join()


def test_a_log_has_a_limit(driver: Driver, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The reason is written nevertheless."""
    logs, errors = driver("logs"), driver("errors")
    monkeypatch.setattr(logs, "LONGEST", 100)
    log = logs.Logs(os.open(tmp_path, os.O_DIRECTORY))
    log.build(b"x" * 90)
    with pytest.raises(errors.MockError, match=r"build\.log would be longer than 1 GiB") as failure:
        log.build(b"x" * 90)
    log.error(str(failure.value))
    assert (tmp_path / "build.log").read_text().startswith("x" * 90 + "ERROR: the build was ended")


def test_an_error_shows_any_name(
    driver: Driver, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """A build may give its files names that are not UTF-8, or that control a terminal."""
    log = driver("logs").Logs(os.open(tmp_path, os.O_DIRECTORY))
    log.error(f"no RPM: {os.fsdecode(b'a' + bytes([255, 27]))}[2Jö\n  hint: rename it")
    shown = "ERROR: no RPM: a\\udcff\\x1b[2Jö\n  hint: rename it\n"
    assert (tmp_path / "root.log").read_text() == shown
    assert capfd.readouterr().err == shown


def test_what_a_program_prints_for_mock_has_a_limit(driver: Driver) -> None:
    worker, errors = driver("worker"), driver("errors")
    output = worker.Output()
    output(b"some ")
    output(b"text")
    assert str(output) == "some text"
    with pytest.raises(errors.MockError, match="64 MiB"):
        output(bytes(worker.Output.LONGEST))
