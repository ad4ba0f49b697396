"""Wrong command lines of both programs: a message and a status of their own, never a traceback.

Each runs in this process as `toji` and `moromi` do, on an engine that does not exist.
"""

import sys
from pathlib import Path

import pytest

from nagoya.cli import main
from nagoya.errors import USAGE, DeclarationError, EngineError, NagoyaError

FORM, NO_ENGINE = DeclarationError.exit_code, EngineError.exit_code
LONG = "x" * 5000

CASES = [
    # (command line, status, a part of the message)
    ("toji", USAGE, "Usage: toji"),
    ("toji nosuch", USAGE, "No such command 'nosuch'"),
    ("toji --nosuch", USAGE, "No such option"),
    ("toji --system", USAGE, "requires an argument"),
    ("toji -q -v status", USAGE, "use either -q or -v"),
    ("toji up --timeout nan", USAGE, "'nan' is not a number of seconds"),
    ("toji up --timeout 1e400", USAGE, "'1e400' is not a number of seconds"),
    ("toji up --timeout=-1", USAGE, "'-1' is not a number of seconds"),
    ("toji up --timeout 5s", USAGE, "'5s' is not a number of seconds"),
    ("toji wait --timeout inf", USAGE, "'inf' is not a number of seconds"),
    ("toji reset --timeout NaN", USAGE, "'NaN' is not a number of seconds"),
    ("toji snapshot create a --timeout x", USAGE, "'x' is not a number of seconds"),
    ("toji snapshot restore a --timeout x", USAGE, "'x' is not a number of seconds"),
    ("toji upgrade", USAGE, "either --backup FILE or --no-backup is needed"),
    ("toji upgrade --backup koji.tar --no-backup", USAGE, "either --backup FILE or --no-backup"),
    ("toji upgrade --timeout x", USAGE, "'x' is not a number of seconds"),
    ("toji restart --timeout x", USAGE, "'x' is not a number of seconds"),
    ("toji scale kojibuilder=1 --drain-timeout nan", USAGE, "'nan' is not a number of seconds"),
    ("toji scale", USAGE, "Missing argument"),
    ("toji scale kojibuilder", USAGE, "is not of the form NAME=N"),
    ("toji scale kojibuilder=", USAGE, "is not of the form NAME=N"),
    ("toji scale kojibuilder=-1", USAGE, "is not of the form NAME=N"),
    ("toji scale kojibuilder=1.5", USAGE, "is not of the form NAME=N"),
    ("toji scale =3", USAGE, "is not of the form NAME=N"),
    ("toji scale kojibuilder=1000", USAGE, "is too many"),
    (f"toji scale kojibuilder={'9' * 5000}", USAGE, "is too many"),
    ("toji logs --tail -1", USAGE, "--tail"),
    ("toji logs --tail x", USAGE, "--tail"),
    ("toji logs --task 0", USAGE, "--task"),
    ("toji logs --task 2147483648", USAGE, "--task"),
    ("toji logs --task x", USAGE, "--task"),
    ("toji exec", USAGE, "Missing argument 'CONTAINER'"),
    ("toji exec koji", USAGE, "Missing argument 'COMMAND...'"),
    ("toji user", USAGE, "Missing argument"),
    ("toji user a/b", USAGE, "'a/b' cannot be a user's name"),
    ("toji user ..", USAGE, "'..' cannot be a user's name"),
    (f"toji user {LONG}", USAGE, "cannot be a user's name"),
    ("toji snapshot create", USAGE, "Missing argument"),
    ("toji snapshot nosuch", USAGE, "No such command"),
    ("toji seed", USAGE, "Missing argument 'FILE'"),
    ("toji seed /etc", USAGE, "is a directory"),
    ("toji backup", USAGE, "Missing argument 'FILE'"),
    ("toji backup /etc", USAGE, "is a directory"),
    ("toji restore", USAGE, "Missing argument 'FILE'"),
    ("toji restore /etc", USAGE, "is a directory"),
    ("toji report /etc", USAGE, "is a directory"),
    ("toji remove nosuch", USAGE, "unexpected extra argument"),
    ("toji status --watch x", USAGE, "unexpected extra argument"),
    ("toji up", NO_ENGINE, "no container engine answers"),
    ("toji list", NO_ENGINE, "no container engine answers"),
    ("toji -c /dev/zero status", NO_ENGINE, "no container engine answers"),
    ("moromi", USAGE, "Usage: moromi"),
    ("moromi biuld", USAGE, "Did you mean 'build'?"),
    ("moromi build --build-arg", USAGE, "requires an argument"),
    ("moromi build --build-arg X", USAGE, "'X' is not of the form NAME=VALUE"),
    ("moromi build --build-arg =x", USAGE, "is not of the form NAME=VALUE"),
    ("moromi fetch nosuch", USAGE, "declares no source 'nosuch'"),
    ("moromi clean nosuch", USAGE, "unexpected extra argument"),
    ("moromi -c /etc plan", FORM, "is a folder, not a file"),
    ("moromi -c /dev/zero plan", FORM, "is not a regular file"),
    ("moromi -c /nowhere plan", FORM, "no such file"),
    ("moromi -c nagoia plan", FORM, "did you mean 'nagoya'?"),
    (f"moromi -c {LONG} plan", FORM, "cannot be read: File name too long"),
    ("moromi pull http://r", USAGE, "is not the address of a registry"),
    ("moromi push http://r", USAGE, "is not the address of a registry"),
    ("toji export compose --from http://r", USAGE, "is not the address of a registry"),
    ("moromi plan", NO_ENGINE, "no container engine answers"),
]  # fmt: skip


@pytest.mark.parametrize(("line", "status", "words"), CASES)
def test_a_command_line(  # noqa: PLR0917
    line: str,
    status: int,
    words: str,
    checkout: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    program, *arguments = line.split(" ")
    monkeypatch.chdir(checkout)
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere")
    monkeypatch.setattr(sys, "argv", [program, *arguments])
    with pytest.raises(SystemExit) as ended:
        getattr(main, program)()
    printed = capsys.readouterr().err
    assert words in printed
    assert ended.value.code == status
    assert "Traceback" not in printed


def test_a_long_line_of_an_error_loses_its_middle(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit), main.reported("toji"):
        raise NagoyaError(f"no {LONG} here")
    printed = capsys.readouterr().err
    assert printed.startswith("toji: no xxx")
    assert printed.endswith("xxx here\n")
    assert len(printed) < 1000
