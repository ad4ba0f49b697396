"""util.entry: how a script begins and ends. Signals and execs are tried on real processes."""

import os
import pwd
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from util import entry


@pytest.fixture(autouse=True)
def _as_it_was(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """`run` changes the whole process, which here is pytest's."""
    monkeypatch.setattr(entry, "_image", "nagoya")
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def script(body: str, *arguments: str) -> list[str]:
    """The command of a script that runs `body` as its `main` for the image `koji-test`."""
    lines = "".join(f"    {line}\n" for line in body.splitlines())
    text = (
        "import os, sys, time\nfrom util import entry\n"
        f"def main():\n{lines}    return 0\n"
        "sys.exit(entry.run('koji-test', main))\n"
    )
    return [sys.executable, "-c", text, *arguments]


def test_a_refusal_is_two_lines_and_status_1(capfd: pytest.CaptureFixture[str]) -> None:
    def main() -> int:
        raise entry.Fatal("the cup is empty", hint="fill it")

    assert entry.run("koji-test", main) == 1
    assert capfd.readouterr().err == "koji-test: the cup is empty\n  hint: fill it\n"


def test_a_refusal_needs_no_hint(capfd: pytest.CaptureFixture[str]) -> None:
    def main() -> int:
        raise entry.Fatal("no")

    assert entry.run("koji-test", main) == 1
    assert capfd.readouterr().err == "koji-test: no\n"


def test_the_unforeseen_is_a_traceback_and_status_2(capfd: pytest.CaptureFixture[str]) -> None:
    assert entry.run("koji-test", lambda: 1 // 0) == 2
    assert "ZeroDivisionError" in capfd.readouterr().err


def test_what_the_system_refuses_is_reported_without_a_traceback(
    capfd: pytest.CaptureFixture[str],
) -> None:
    def main() -> int:
        raise OSError(28, "No space left on device", "/mnt/koji")

    assert entry.run("koji-test", main) == 1
    assert capfd.readouterr().err == "koji-test: /mnt/koji: No space left on device\n"


def test_the_status_is_mains() -> None:
    assert entry.run("koji-test", lambda: 5) == 5


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_a_script_that_waits(number: int, status: int, checkout: Path) -> None:
    command = script("print('up', flush=True)\ntime.sleep(60)")
    with subprocess.Popen(
        command, cwd=checkout, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        process.send_signal(number)
        _, errors = process.communicate(timeout=10)
    name = signal.Signals(number).name
    assert (process.returncode, errors) == (
        status,
        f"koji-test: stopped by {name} before it was ready\n",
    )


def test_what_is_executed_takes_signals_as_usual(checkout: Path) -> None:
    command = script("entry.exec_command(['cat', '/proc/self/status'])")
    done = subprocess.run(command, cwd=checkout, capture_output=True, text=True, check=True)
    masks = dict(line.split(":\t") for line in done.stdout.splitlines() if line.startswith("Sig"))
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGPIPE, signal.SIGXFSZ):
        for mask in ("SigIgn", "SigCgt"):
            assert not int(masks[mask], 16) >> (number - 1) & 1


@pytest.mark.parametrize(
    ("command", "message"),
    [("no-such-command", "cannot run no-such-command: No such file"), ("", "cannot run '': ")],
)
def test_a_command_that_is_not_there_is_refused(command: str, message: str) -> None:
    with pytest.raises(entry.Fatal, match=message):
        entry.exec_command([command])


@pytest.mark.parametrize(
    ("argv", "own", "through"),
    [
        ([], [], False),
        (["bash"], [], True),
        (["bash", "-c", "true"], ["nokojira"], True),
        (["nokojira"], ["nokojira"], False),
    ],
)
def test_passes_through(argv: list[str], own: list[str], through: bool) -> None:
    assert entry.passes_through(argv, own) is through


def test_becoming_oneself_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "setuid", lambda _: pytest.fail("changed the user"))
    entry.drop_privileges(pwd.getpwuid(os.geteuid()).pw_name)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_becoming_another_is_for_good(checkout: Path) -> None:
    body = (
        "entry.drop_privileges('nobody')\nprint(os.getresuid(), os.getresgid(), os.environ['HOME'])"
    )
    done = subprocess.run(script(body), cwd=checkout, capture_output=True, text=True, check=True)
    nobody = pwd.getpwnam("nobody")
    uid, gid = nobody.pw_uid, nobody.pw_gid
    assert done.stdout.strip() == f"{(uid,) * 3} {(gid,) * 3} {nobody.pw_dir}"


def test_health_says_yes(capsys: pytest.CaptureFixture[str]) -> None:
    assert entry.health(lambda: "42 guests") == 0
    assert capsys.readouterr().out == "ready: 42 guests\n"


def test_health_says_why_not_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    def question() -> str:
        raise OSError("the door\nis shut\n")

    assert entry.health(question) == 1
    assert capsys.readouterr().out == "not ready: the door is shut\n"


def test_a_patient_health_check_asks_until_it_is_a_yes(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(entry, "_PAUSE", 0.001)
    calls = []

    def question() -> str:
        calls.append(None)
        if len(calls) < 5:
            raise LookupError("in a moment")
        return "now"

    assert entry.health(question) == 1
    assert len(calls) == 1
    monkeypatch.setenv("HEALTH_PATIENCE", "20")
    assert entry.health(question) == 0
    assert len(calls) == 5
    assert capsys.readouterr().out == "not ready: in a moment\nready: now\n"
