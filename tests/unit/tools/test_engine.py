"""The private engine: who starts, uses and stops it; with a dockerd that only answers pings."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.tools.isolation import isolate

DOCKERD = f"""#!{sys.executable}
import http.server, os, pathlib, socket, sys

class Server(http.server.HTTPServer):
    address_family = socket.AF_UNIX
    def server_bind(self):
        self.socket.bind(self.server_address)

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
    def address_string(self):
        return ""

option = lambda name: sys.argv[sys.argv.index(name) + 1]
pathlib.Path(option("--pidfile")).write_text(str(os.getpid()))
address = option("-H").removeprefix("unix://")
pathlib.Path(address).unlink(missing_ok=True)
Server(address, Handler).serve_forever()
"""


class Engine:
    """tools/engine, with its folders in one of the test's own."""

    def __init__(self, folder: Path, checkout: Path) -> None:
        self.folder = folder
        self.pidfile = folder / "run/engine.pid"
        script = isolate((checkout / "tools/engine").read_text(), folder)
        for name, content in {
            "engine": script,
            "setup": "#!/bin/sh\n",
            "bin/dockerd": DOCKERD,
            "bin/id": "#!/bin/sh\necho 0\n",
        }.items():
            program = folder / name
            program.parent.mkdir(parents=True, exist_ok=True)
            program.write_text(content)
            program.chmod(0o755)
        self.environment = {**os.environ, "PATH": f"{folder}/bin:{os.environ['PATH']}"}

    def __call__(self, *arguments: str) -> str:
        """Run it to its end; what it prints."""
        return self.begin(*arguments).communicate(timeout=60)[0]

    def begin(self, *arguments: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [self.folder / "engine", *arguments],
            env=self.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip

    def busy(self) -> "subprocess.Popen[str]":
        """`with` a command that has started, and ends with its stdin."""
        process = self.begin("with", "sh", "-c", "echo started; cat")
        assert process.stdout
        while "started" not in process.stdout.readline():
            assert process.poll() is None
        return process

    @property
    def runs(self) -> bool:
        return self.pidfile.exists() and Path("/proc", self.pidfile.read_text()).exists()


@pytest.fixture
def engine(tmp_path: Path, checkout: Path) -> Iterator[Engine]:
    private = Engine(tmp_path / "tools", checkout)
    yield private
    if private.runs:
        os.kill(int(private.pidfile.read_text()), signal.SIGKILL)


def test_with_starts_one_and_stops_it(engine: Engine) -> None:
    printed = engine("with", "sh", "-c", 'echo "at $DOCKER_HOST"')
    assert f"at unix://{engine.folder}/run/engine.sock" in printed
    assert "stopped the private engine" in printed
    assert not engine.runs


def test_the_status_of_with_is_its_commands(engine: Engine) -> None:
    process = engine.begin("with", "false")
    process.communicate(timeout=60)
    assert process.returncode == 1
    assert not engine.runs


def test_the_last_command_stops_it(engine: Engine) -> None:
    first, second = engine.busy(), engine.busy()
    assert "it is in use" in first.communicate(timeout=60)[0]
    assert engine.runs
    assert "stopped the private engine" in second.communicate(timeout=60)[0]
    assert not engine.runs


def test_what_start_asked_for_survives_the_tests(engine: Engine) -> None:
    tests = engine.busy()
    engine("start")  # `make demo` in another terminal
    assert "it is in use" in tests.communicate(timeout=60)[0]
    assert engine.runs
    assert "stopped the private engine" in engine("stop")
    assert not engine.runs


def test_the_tests_survive_a_stop(engine: Engine) -> None:
    engine("start")
    tests = engine.busy()
    assert "another command uses the private engine" in engine("stop")
    assert engine.runs
    tests.communicate(timeout=60)
    assert not engine.runs


def test_a_purge_waits_for_the_tests(engine: Engine) -> None:
    tests = engine.busy()
    assert "another command uses the private engine" in engine("purge")
    tests.communicate(timeout=60)
    engine("purge")
    assert not (engine.folder / "data").exists()


def test_a_killed_command_counts_no_more(engine: Engine) -> None:
    killed = engine.busy()
    killed.kill()
    killed.communicate(timeout=60)  # its child reads the end of its stdin
    engine("with", "true")
    assert not engine.runs


@pytest.mark.parametrize("first", ["start", "with"])
def test_two_at_once_start_one(engine: Engine, first: str) -> None:
    processes = [engine.begin(first, "true"), engine.begin("with", "true")]
    outputs = [process.communicate(timeout=60)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], outputs
    assert sum("starting a private one" in output for output in outputs) >= 1
    assert engine.runs == (first == "start")


def test_running_containers_keep_it(engine: Engine) -> None:
    engine("start")
    container = engine.folder / "data/containers/abc"
    container.mkdir(parents=True)
    (container / "config.v2.json").write_text('{"State":{"Running":true}}')
    assert "containers run on the private engine (1)" in engine("stop")
    assert engine.runs


def test_no_engine_and_no_root(engine: Engine) -> None:
    (engine.folder / "bin/id").write_text("#!/bin/sh\necho 1000\n")
    printed = engine("start")
    assert "only root can start one" in printed
    assert "hint: start Docker, or become root" in printed
    assert "no engine answers" in engine("status")


def test_an_engine_that_only_moromi_and_toji_find(engine: Engine) -> None:
    """Such as that of a docker context; the environment is left alone, for it may have a CA."""
    python = engine.folder.parent / ".venv/bin/python"
    python.parent.mkdir(parents=True)
    python.write_text("#!/bin/sh\necho tcp://192.0.2.1:2376\n")
    python.chmod(0o755)
    assert "an engine answers at tcp://192.0.2.1:2376" in engine("status")
    printed = engine("with", "sh", "-c", 'echo "host: $DOCKER_HOST"')
    assert "host: \n" in printed
    assert not engine.runs
