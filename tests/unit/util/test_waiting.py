"""util.waiting: pauses, words and the deadline, on a clock of the test's own."""

import re
from collections.abc import Callable

import pytest

from util import waiting
from util.entry import Fatal


class Clock:
    """Stands in for the module `time`; sleeping is what makes it go."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.pauses: list[float] = []

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    fake = Clock()
    monkeypatch.setattr(waiting, "time", fake)
    return fake


def failing(times: int, error: Exception) -> Callable[[], str]:
    errors = [error] * times

    def question() -> str:
        if errors:
            raise errors.pop()
        return "yes"

    return question


def test_an_answer_at_once_costs_nothing(clock: Clock) -> None:
    assert waiting.wait_until(failing(0, OSError()), 0, "it") == "yes"
    assert clock.pauses == []


def test_pauses_grow(clock: Clock) -> None:
    assert waiting.wait_until(failing(20, OSError()), 60, "it") == "yes"
    assert clock.pauses[0] == 0.05
    assert clock.pauses == sorted(clock.pauses)
    assert clock.pauses[-1] == 0.5


def test_says_what_it_waits_for_now_and_then(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(Fatal):
        waiting.wait_until(failing(10**6, OSError("refused")), 14, "the hub")
    output = capsys.readouterr().err
    times = re.findall(r"^nagoya: waiting for the hub \((\d+) s\): refused$", output, re.MULTILINE)
    assert [int(time) for time in times] == pytest.approx([2, 7, 12], abs=1)


def test_the_deadline_has_the_last_error_as_its_last_word(clock: Clock) -> None:
    start = clock.now
    with pytest.raises(Fatal) as refusal:
        waiting.wait_until(
            failing(10**6, OSError("Connection\nrefused")), 7, "the hub", hint="start it"
        )
    assert str(refusal.value) == "gave up waiting for the hub after 7 s: Connection refused"
    assert refusal.value.hint == "start it"
    assert clock.now - start == pytest.approx(7)


def test_only_what_may_pass_is_waited_out(clock: Clock) -> None:
    with pytest.raises(ValueError, match="typo"):
        waiting.wait_until(failing(1, ValueError("typo")), 60, "it")
    assert waiting.wait_until(failing(1, ValueError()), 60, "it", retry=ValueError) == "yes"
