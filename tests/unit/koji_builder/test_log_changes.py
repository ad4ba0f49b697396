"""koji-builder's plugin log_changes."""

import logging
from collections.abc import Callable
from types import ModuleType

import pytest


@pytest.fixture
def log_changes(load_script: Callable[[str], ModuleType]) -> ModuleType:
    return load_script("koji-builder/log_changes.py")


def poll(logger: logging.Logger, *tasks: int) -> None:
    """Log what kojid does at a poll."""
    logger.info(f"pids: {dict.fromkeys(tasks, 7)!r}")
    for task in tasks:
        logger.info("open task: %r" % {"id": task})  # noqa: UP031 - as kojid does


def test_only_what_changes_is_logged(
    log_changes: ModuleType, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [0.0]
    monkeypatch.setattr(log_changes.time, "monotonic", lambda: clock[0])
    logger = logging.getLogger("changes")
    logger.setLevel(logging.INFO)
    log_changes.install(logger)
    for clock[0] in (0.0, 0.25, 0.5):
        poll(logger, 1)
    poll(logger, 1, 2)
    assert caplog.messages == ["pids: {1: 7}", "open task: {'id': 1}",
                               "pids: {1: 7, 2: 7}", "open task: {'id': 2}"]  # fmt: skip
    caplog.clear()
    clock[0] = 61.0
    poll(logger, 1)
    assert caplog.messages == ["pids: {1: 7}", "open task: {'id': 1}"]


def test_the_debug_level_shows_every_poll(
    log_changes: ModuleType, caplog: pytest.LogCaptureFixture
) -> None:
    logger = logging.getLogger("debugged")
    logger.setLevel(logging.DEBUG)
    log_changes.install(logger)
    for _ in range(3):
        poll(logger, 1)
    assert len(caplog.messages) == 6
