"""koji-hub's long answers, of which one is sent at a time."""

from collections.abc import Callable, Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

Ask = Callable[[int], Iterable[bytes]]


@pytest.fixture
def statuses() -> list[str]:
    return []


@pytest.fixture
def ask(
    load_script: Callable[[str], ModuleType],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    statuses: list[str],
) -> Ask:
    """Ask for an answer of that many bytes; it is long from 100 on."""
    answers = load_script("koji-hub/long_answers.py")
    monkeypatch.setattr(answers, "LONG", 99)

    def application(environ: Any, start_response: Callable[..., Any]) -> list[bytes]:
        start_response("200 OK", [("Content-Length", str(environ["length"]))])
        return [b"x" * environ["length"]]

    bounded = answers.send_one_at_a_time(application, tmp_path)

    def start(status: str, headers: list[tuple[str, str]]) -> None:
        statuses.append(status)

    return lambda length: bounded({"length": length}, start)


def test_short_answers_are_sent_at_once(ask: Ask, statuses: list[str]) -> None:
    assert [ask(99) for _ in range(2)] == [[b"x" * 99]] * 2
    assert statuses == ["200 OK"] * 2


def test_one_long_answer_is_sent_at_a_time(ask: Ask, statuses: list[str]) -> None:
    first: Any = ask(100)
    assert b"".join(first) == b"x" * 100
    refused = b"".join(ask(100))
    assert refused == b"The hub is sending another long answer; call again.\n"
    first.close()
    second: Any = ask(100)
    second.close()
    assert statuses == ["200 OK", "408 Request Timeout", "200 OK"]
