"""util.environment: variables as typed values, all errors at once."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from util.entry import Fatal
from util.environment import VARIABLES, Environment

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
        ({"X": "s3cret", "X_FILE": "/nowhere"}, "X: X_FILE is set too; set one of the two"),
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


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("KOJI_SITENAME", "unknown variable KOJI_SITENAME; did you mean KOJI_SITE_NAME?"),
        ("KOJIRA_SLEEP_TIME", "unknown variable KOJIRA_SLEEP_TIME; did you mean KOJIRA_SLEEPTIME?"),
        ("KOJI_XYZZY_PLUGH_QUUX", "unknown variable KOJI_XYZZY_PLUGH_QUUX"),
    ],
)
def test_an_unknown_variable_is_an_error_as_any_other(name: str, message: str) -> None:
    environment = Environment({name: "x", "KOJI_WAIT_SECONDS": "soon"})
    environment.seconds("KOJI_WAIT_SECONDS", 60)
    with pytest.raises(Fatal) as refusal:
        environment.check()
    wrong = "KOJI_WAIT_SECONDS: 'soon' is not a number"
    assert str(refusal.value) == f"the environment is wrong: {wrong}; {message}"


@pytest.mark.parametrize(
    "name",
    [
        "KOJI_BUILDER_ARCHES",  # another image's
        "KOJI_PROFILE",
        "KOJI_SERVICE_HOST",
        "KOJI_SERVICE_PORT_HTTPS",
        "KOJI_PORT",
        "KOJI_PORT_443_TCP",
        "KOJI_PORT_443_TCP_ADDR",
        "KOJI_HUB_SERVICE_HOST",
        "KOJI_HUB_PORT_80_TCP_PROTO",
        "KOJI_NAME",
        "KOJI_ENV_KOJI_WEB_URL",
        "KOJIDATABASE_SERVICE_HOST",
        "SITE_NAME",
    ],
)
def test_what_others_set_is_no_error(name: str) -> None:
    Environment({name: "x", "KOJI_EMPTY": ""}).check()


def test_every_documented_variable_is_known_and_no_other(checkout: Path) -> None:
    documented = {
        name
        for path in checkout.glob("koji-*/entrypoint.py")
        for line in re.findall(r"^(KOJI(?:RA)?_[A-Z].*)", path.read_text(), re.M)
        for name in re.findall(r"^[A-Z_]+|(?<=, )KOJI_[A-Z_]+(?=$)", line)
    }
    assert documented == VARIABLES


def test_a_choice_has_no_case() -> None:
    environment = Environment({"X": "info", "Y": "loud"})
    assert environment.choice("X", "A", ("A", "INFO")) == "INFO"
    environment.choice("Y", "A", ("A", "INFO"))
    with pytest.raises(Fatal, match="Y: 'LOUD' is not one of A, INFO"):
        environment.check()
