"""`--debug`: what is logged to stderr, for both tools."""

import logging
import sys
from collections.abc import Callable, Iterator

import click
import pytest

from nagoya.cli import common, moromi, toji
from nagoya.errors import LifecycleError
from nagoya.utils.command import run
from nagoya.utils.parallel import raise_failures, run_graph


@pytest.fixture(autouse=True)
def logger() -> Iterator[logging.Logger]:
    logger = logging.getLogger("nagoya")
    yield logger
    logger.handlers.clear()
    logger.setLevel(logging.NOTSET)


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run a command line to its end; what it prints on stderr."""

    def call(command: click.Command, *arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", ["toji", *arguments])
        with pytest.raises(SystemExit):
            common.run("toji", command)  # type: ignore[arg-type]
        return capsys.readouterr().err

    return call


def fail(name: str) -> None:
    run(["echo", "https://me:hunter2@host", "KOJI_TOKEN=hunter3"])
    try:
        {}["missing"]
    except KeyError as error:
        raise LifecycleError("the callback failed") from error


@click.command()
@common.debug_option
def work() -> None:
    raise_failures(run_graph({"koji": ()}, fail, workers=1), LifecycleError, "could not start")


def test_commands_and_the_causes_of_errors_are_logged(call: Callable[..., str]) -> None:
    printed = call(work, "--debug")
    assert "echo https://me:...@host KOJI_TOKEN=... exit status 0, 0." in printed
    assert "KeyError: 'missing'" in printed
    assert "hunter" not in printed


def test_without_it_only_the_message_is_shown(call: Callable[..., str]) -> None:
    assert call(work) == "toji: could not start:\n  koji: the callback failed\n"


@pytest.mark.parametrize(
    ("group", "arguments"),
    [
        (toji.cli, ["--debug", "status"]),
        (toji.cli, ["status", "--debug"]),
        (moromi.cli, ["--debug", "plan"]),
        (moromi.cli, ["plan", "--debug"]),
    ],
)
def test_both_tools_have_it(
    group: click.Group,
    arguments: list[str],
    call: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nonexistent.sock")
    printed = call(group, *arguments)
    assert "Traceback" in printed
    assert "no container engine answers" in printed
