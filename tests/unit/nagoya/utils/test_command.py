"""Running programs: what they print, and the message for each way that they end."""

import re
import signal
import sys
import tempfile
from pathlib import Path

import pytest

from nagoya.errors import CommandError
from nagoya.utils.command import run, run_streaming


def python(text: str) -> list[str]:
    return [sys.executable, "-c", text]


def test_output_comes_back() -> None:
    assert run(python("print('said')")) == "said\n"


def test_environment_is_added(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEPT", "1")
    text = "import os; print(os.environ['KEPT'] + os.environ['ADDED'])"
    lines: list[str] = []
    run_streaming(python(text), lines.append, environment={"ADDED": "2"})
    assert lines == ["12"]


def test_a_failure_shows_the_command_and_its_last_words() -> None:
    with pytest.raises(CommandError) as caught:
        run(python("import sys; sys.exit('it broke')"))
    assert caught.value.message.startswith("exit status 1: ")
    assert caught.value.message.endswith("\n    it broke")
    assert "'import sys; sys.exit" in caught.value.message


def test_a_signal_is_named() -> None:
    with pytest.raises(CommandError, match="killed by SIGKILL"):
        run(python(f"import os; os.kill(os.getpid(), {signal.SIGKILL})"))


def test_a_missing_program(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="no-such-program is not installed"):
        run(["no-such-program", "--flag"])
    with pytest.raises(CommandError, match="cannot be run: Permission denied"):
        (tmp_path / "file").touch()
        run([tmp_path / "file"])


def test_a_command_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("DEBUG", "nagoya"), pytest.raises(CommandError):
        run(python("raise SystemExit(3)"))
    assert re.search(r"-c 'raise SystemExit\(3\)': exit status 3, \d\.\d{3} s", caplog.text)


def test_lines_are_heard_as_they_come() -> None:
    heard: list[str] = []
    run_streaming(python("import sys; print('one'); print('two', file=sys.stderr)"), heard.append)
    assert sorted(heard) == ["one", "two"]


def test_output_may_go_elsewhere() -> None:
    heard: list[str] = []
    with tempfile.TemporaryFile() as file:
        text = "import sys; print('data'); print('progress', file=sys.stderr)"
        run_streaming(python(text), heard.append, output=file)
        file.seek(0)
        assert file.read() == b"data\n"
    assert heard == ["progress"]


def test_failures_of_what_is_heard() -> None:
    with pytest.raises(CommandError, match=r"exit status 3: .*\n    the end"):
        run_streaming(python("print('the end'); raise SystemExit(3)"), lambda line: None)
    with pytest.raises(CommandError, match="is not installed"):
        run_streaming(["no-such-program"], lambda line: None)
