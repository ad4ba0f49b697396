"""How an image is asked for its part in a snapshot, and what it answers."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import sys
from util import snapshot
from util.entry import Fatal

def prepare(name):
    raise Fatal(f"there is no snapshot {name}", hint="make one")

sys.exit(snapshot.run("an-image", {
    "list": lambda: {"one": {"created": 1.5, "bytes": 7}},
    "save": lambda name: print(f"saving {name}"),
    "drop": lambda name: open(f"/nonexistent/{name}"),
    "prepare": prepare,
    "switch": lambda: {"restart": True},
    "renew": lambda: 1 / 0,
    "cut": lambda: None,
    "dump": lambda: {"/here": "/there"},
    "discard": lambda: print("discarded", file=sys.stderr),
}))
"""


def ask(checkout: Path, *words: str, lines: str = "") -> tuple[int, str, str]:
    ended = subprocess.run(
        [sys.executable, "-c", SCRIPT, *words],
        cwd=checkout, input=lines, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return ended.returncode, ended.stdout, ended.stderr


def test_only_the_answer_is_on_stdout(checkout: Path) -> None:
    assert ask(checkout, "list") == (0, '{"one": {"created": 1.5, "bytes": 7}}\n', "")
    assert json.loads(ask(checkout, "switch")[1]) == {"restart": True}
    assert ask(checkout, "save", "first") == (0, "{}\n", "saving first\n")


def test_each_line_is_answered_with_one(checkout: Path) -> None:
    status, answers, log = ask(checkout, lines="save a\nprepare b\ndrop c\nlist\n\nsave ../d\n")
    assert (status, log) == (0, "saving a\n")
    assert [json.loads(line) for line in answers.splitlines()] == [
        {"answer": {}},
        {"refused": "there is no snapshot b", "hint": "make one"},
        {"refused": "/nonexistent/c: No such file or directory", "hint": None},
        {"answer": {"one": {"created": 1.5, "bytes": 7}}},
        {
            "refused": "empty command",
            "hint": "list, save NAME, drop NAME, prepare NAME, switch, renew, cut, dump, discard",
        },
        {"refused": "'../d' is not a valid name for a snapshot", "hint": None},
    ]


@pytest.mark.parametrize(
    ("lines", "log"),
    [
        ("cut\ndump\n", "discarded\n"),
        ("cut\ndump\ndiscard\n", "discarded\n"),
        ("dump\nlist\n", ""),
    ],
)
def test_nothing_is_left_of_a_backup_whose_caller_is_gone(
    checkout: Path, lines: str, log: str
) -> None:
    status, answers, logged = ask(checkout, lines=lines)
    assert (status, logged) == (0, log)
    assert len(answers.splitlines()) == len(lines.splitlines())


def test_the_unforeseen_ends_it_and_is_reported(checkout: Path) -> None:
    status, answers, log = ask(checkout, lines="renew\nlist\n")
    assert (status, answers) == (2, "")
    assert "ZeroDivisionError" in log


def test_a_refusal_says_why_and_what_to_do(checkout: Path) -> None:
    log = "an-image: there is no snapshot first\n  hint: make one\n"
    assert ask(checkout, "prepare", "first") == (1, "", log)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["hold"],
            "unknown or incomplete verb: hold\n  hint: list, save NAME, drop NAME, prepare NAME, ",
        ),
        (["release", "first"], "unknown or incomplete verb: release first"),
        (["save"], "unknown or incomplete verb: save"),
        (["list", "first"], "unknown or incomplete verb: list first"),
        (["save", "../etc"], "'../etc' is not a valid name for a snapshot"),
        (["save", "+new"], "'+new' is not a valid name for a snapshot"),
    ],
)
def test_what_is_no_call_is_refused(checkout: Path, words: list[str], message: str) -> None:
    status, _, log = ask(checkout, *words)
    assert status == 1
    assert f"an-image: {message}" in log
