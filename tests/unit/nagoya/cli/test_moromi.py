"""moromi's command line as far as it needs no engine: what it prints, and how it ends."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from nagoya.cli import main

SOUND = """
base: {image: "debian:bookworm-slim", suite: bookworm}
images: {base: {}, hub: {}, data: {}}
containers:
  koji: {image: hub, links: [store]}
  store: {image: data}
"""
FILES = {
    "moromi.yml": SOUND,
    "base/Dockerfile": "FROM debian:bookworm-slim\n",
    "hub/Dockerfile": "FROM base\nARG LEVEL=1\n",
    "data/Dockerfile": "FROM base\n",
}


@pytest.fixture
def call(
    tree: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Run moromi in a folder of these files: exit status, stdout, stderr."""
    monkeypatch.chdir(tree(FILES))
    monkeypatch.setattr("nagoya.engine.client.PRIVATE_SOCKET", Path("/nonexistent/engine.sock"))

    def run(*arguments: str, **files: str) -> tuple[int, str, str]:
        tree({name.replace("__", "/").replace("_", "."): text for name, text in files.items()})
        monkeypatch.setattr(sys, "argv", ["moromi", *arguments])
        with pytest.raises(SystemExit) as ended:
            main.moromi()
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err
        status = ended.value.code
        assert isinstance(status, int)
        return status, captured.out, captured.err

    return run


Call = Callable[..., tuple[int, str, str]]


def test_help_teaches(call: Call) -> None:
    status, out, _ = call("--help")
    assert status == 0
    assert "moromi build koji-hub" in out
    for command in ("build", "run", "plan", "fetch", "base", "clean"):
        status, out, _ = call(command, "--help")
        assert status == 0
        assert f"    moromi {command}" in out, f"no example in the help of {command}"


def test_the_drawing_needs_no_engine(call: Call) -> None:
    status, out, err = call("plan", "--mermaid")
    assert (status, err) == (0, "")
    assert "koji --> store" in out


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["plan", "-c", "none.yml"], 3, "moromi: none.yml:\n  no such file\n  hint: name another"),
        (["-c", "none.yml", "build"], 3, "moromi: none.yml:\n  no such file"),
        (["plan"], 4, "moromi: no container engine answers"),
        (["build"], 4, "moromi: no container engine answers"),
        (["clean"], 4, "moromi: no container engine answers"),
        (["base"], 4, "moromi: no container engine answers"),
        (["run"], 4, "moromi: no container engine answers"),
        (["fetch", "koji"], 64, "declares no source 'koji'"),
        (["biuld"], 64, "No such command 'biuld'"),
        (["build", "--build-arg", "LEVEL"], 64, "'LEVEL' is not of the form NAME=VALUE"),
        (["build", "--build-arg", "=2"], 64, "is not of the form NAME=VALUE"),
        (["-q", "build", "-v"], 64, "use either -q or -v"),
        (["-c", "nagoya-dem", "plan"], 3, "no such file; did you mean 'nagoya-demo'?"),
        (["plan", "--colour"], 64, "No such option"),
    ],
)
def test_each_failure_has_its_words_and_its_status(
    call: Call, arguments: list[str], status: int, message: str
) -> None:
    ended, _, err = call(*arguments)
    assert message in err
    assert ended == status


def test_an_unexpected_error_is_reported_as_a_fault_of_ours(
    call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*arguments: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("nagoya.build.diagram.mermaid", broken)
    monkeypatch.setattr("traceback.print_exc", lambda: None)
    status, _, err = call("plan", "--mermaid")
    assert status == 2
    assert "please report it" in err


def test_an_error_of_the_systems_is_no_fault_of_ours(
    call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*arguments: object) -> None:
        raise PermissionError(13, "Permission denied", "/home/x")

    monkeypatch.setattr("nagoya.build.diagram.mermaid", refused)
    assert call("plan", "--mermaid") == (1, "", "moromi: /home/x: Permission denied\n")


def test_ctrl_c(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("nagoya.build.diagram.mermaid", interrupted)
    assert call("plan", "--mermaid")[0] == 130


@pytest.mark.parametrize("program", ["moromi", "toji"])
def test_ctrl_c_during_the_imports(program: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a process of its own, whose import of click is where the signal arrives."""
    code = (
        "import sys\n"
        "class Interrupt:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'click': raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Interrupt())\n"
        f"from nagoya.cli.main import {program}; {program}()"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stderr) == (130, f"{program}: interrupted\n")
