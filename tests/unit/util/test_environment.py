"""util.environment: variables as typed values, all errors at once."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from util.entry import Fatal
from util.environment import Environment

Reading = Callable[[Environment], Any]


@pytest.mark.parametrize(
    ("value", "reading", "expected"),
    [
        (None, lambda e: e.text("X", "a"), "a"),
        ("", lambda e: e.text("X", "a"), "a"),
        (" b c ", lambda e: e.text("X", "a"), "b c"),
        (None, lambda e: e.words("X"), ()),
        (None, lambda e: e.words("X", ["i386"]), ("i386",)),
        ("a, b,c\td ,", lambda e: e.words("X"), ("a", "b", "c", "d")),
        (None, lambda e: e.flag("X", True), True),
        ("Yes", lambda e: e.flag("X", False), True),
        ("0", lambda e: e.flag("X", True), False),
        (None, lambda e: e.integer("X", 3, minimum=5), 3),
        ("07", lambda e: e.integer("X", 3, 5, 7), 7),
        ("-2", lambda e: e.integer("X", 3), -2),
        ("0.5", lambda e: e.number("X", 2), 0.5),
        ("90", lambda e: e.seconds("X", 60), 90.0),
        ("https://koji:8443/kojihub/", lambda e: e.url("X", ""), "https://koji:8443/kojihub"),
        (None, lambda e: e.url("X", "https://koji/kojihub"), "https://koji/kojihub"),
        ("https://[::1]/", lambda e: e.url("X", ""), "https://[::1]"),
        ("http://koji", lambda e: e.url("X", "", ["http", "https"]), "http://koji"),
        (None, lambda e: e.secret("X"), None),
        ("s3 ", lambda e: e.secret("X"), "s3 "),
    ],
)
def test_right(value: str | None, reading: Reading, expected: object) -> None:
    environment = Environment({} if value is None else {"X": value})
    assert reading(environment) == expected
    environment.check()


@pytest.mark.parametrize(
    ("value", "reading", "default", "message"),
    [
        ("maybe", lambda e: e.flag("X", True), True, "X: 'maybe' is neither yes nor no"),
        ("1.5", lambda e: e.integer("X", 3), 3, "X: '1.5' is not a whole number"),
        ("1_0", lambda e: e.integer("X", 3), 3, "X: '1_0' is not a whole number"),
        ("4", lambda e: e.integer("X", 9, minimum=5), 9, "X: 4 is less than 5"),
        ("8", lambda e: e.integer("X", 6, maximum=7), 6, "X: 8 is more than 7"),
        ("nan", lambda e: e.number("X", 2), 2, "X: 'nan' is not a number"),
        ("-1", lambda e: e.seconds("X", 60), 60, "X: -1 is less than 0"),
        ("koji", lambda e: e.url("X", "https://k"), "https://k", "X: 'koji' is not a URL"),
        ("http://koji", lambda e: e.url("X", "https://k"), "https://k", "begins with https://"),
        ("https://", lambda e: e.url("X", "https://k"), "https://k", "is not a URL"),
        ("https://k:x/", lambda e: e.url("X", "https://k"), "https://k", "is not a URL"),
        ("https://[k", lambda e: e.url("X", "https://k"), "https://k", "is not a URL"),
    ],
)
def test_wrong(value: str, reading: Reading, default: object, message: str) -> None:
    environment = Environment({"X": value})
    assert reading(environment) == default
    with pytest.raises(Fatal) as refusal:
        environment.check()
    assert message in str(refusal.value)


def test_all_errors_come_at_once() -> None:
    environment = Environment({"A": "x", "B": "y"})
    environment.integer("A", 1)
    environment.flag("B", True)
    environment.wrong("C", "no such thing")
    with pytest.raises(Fatal) as refusal:
        environment.check()
    for part in ("A: 'x'", "B: 'y'", "C: no such thing"):
        assert part in str(refusal.value)
    assert refusal.value.hint


def test_a_secret_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("s3\n")
    environment = Environment({"X_FILE": str(tmp_path / "secret")})
    assert environment.secret("X") == "s3"
    environment.check()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"X": "s3cret", "X_FILE": "/nowhere"}, "X: given twice, since X_FILE is set too"),
        ({"X_FILE": "/nowhere"}, "X_FILE: cannot read /nowhere: No such file or directory"),
    ],
)
def test_a_secret_that_cannot_be_had(values: dict[str, str], message: str) -> None:
    environment = Environment(values)
    environment.secret("X")
    with pytest.raises(Fatal) as refusal:
        environment.check()
    assert message in str(refusal.value)
    assert "s3cret" not in str(refusal.value)
