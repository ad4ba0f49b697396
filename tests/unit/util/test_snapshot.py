"""How an image is asked for its part in a snapshot, and what it answers."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import sys
from util import snapshot
from util.entry import Refused

def prepare(name):
    raise Refused(f"there is no snapshot {name}", hint="make one")

sys.exit(snapshot.run("an-image", {
    "list": lambda: {"one": {"created": 1.5, "bytes": 7}},
    "save": lambda name: print(f"saving {name}"),
    "prepare": prepare,
    "switch": lambda: {"restart": True},
}))
"""


def asked(checkout: Path, *words: str) -> tuple[int, str, str]:
    ended = subprocess.run(
        [sys.executable, "-c", SCRIPT, *words],
        cwd=checkout, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return ended.returncode, ended.stdout, ended.stderr


def test_the_last_line_is_the_answer(checkout: Path) -> None:
    assert asked(checkout, "list") == (0, '{"one": {"created": 1.5, "bytes": 7}}\n', "")
    assert json.loads(asked(checkout, "switch")[1]) == {"restart": True}
    assert asked(checkout, "save", "first")[1].splitlines() == ["saving first", "{}"]


def test_a_refusal_says_why_and_what_to_do(checkout: Path) -> None:
    told = "an-image: there is no snapshot first\n  hint: make one\n"
    assert asked(checkout, "prepare", "first") == (1, "", told)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "nothing is no call of this\n  hint: list, save NAME, prepare NAME, switch"),
        (["drop", "first"], "drop first is no call of this"),
        (["save"], "save is no call of this"),
        (["list", "first"], "list first is no call of this"),
        (["save", "../etc"], "'../etc' cannot name a snapshot"),
        (["save", "+new"], "'+new' cannot name a snapshot"),
    ],
)
def test_what_is_no_call_is_refused(checkout: Path, words: list[str], message: str) -> None:
    status, _, told = asked(checkout, *words)
    assert status == 1
    assert f"an-image: {message}" in told
