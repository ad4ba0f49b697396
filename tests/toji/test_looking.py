"""wait, logs, exec and report."""

import json
import re
import signal
import socket
import subprocess
import tarfile
from pathlib import Path

import docker
import pytest

from nagoya.engine import connect
from tests.toji.conftest import Toji
from tests.toji.relay import relay

NEVER_READY = {"command": ["sh", "-c", "echo line one; echo the last line; sleep 100"]}


def test_wait_asks_the_health_check_itself(toji: Toji, client: docker.DockerClient) -> None:
    toji.declare(server={})
    toji("init")
    toji("wait", "--timeout", "30")
    # The engine's own check comes once an hour here: it was not what toji went by.
    assert client.containers.get(f"{toji.system}-server").attrs["State"]["Health"]["Log"] == []


def test_wait_says_why_time_ran_out(toji: Toji) -> None:
    toji.declare(server=NEVER_READY, client={"links": ["server"]})
    toji("init")
    error = toji("wait", "--timeout", "1", status=8).stderr
    assert "not ready after 1 s" in error
    assert "server (running): not yet" in error
    assert "the last line" in error
    # What waits for another has nothing to say, and its log would hide the other's.
    assert "client (running): waiting for server\n    " not in error
    assert "client (running): waiting for server\n" in error


def test_wait_shows_the_cause_first_and_a_repeated_line_once(toji: Toji) -> None:
    """As the hub's, in which kojira says every second that it waits for the hub."""
    repeats = "for n in $(seq 60); do echo $n: waiting for the hub; done; sleep 100"
    first = "echo 0: waiting for the hub; echo the cause"
    toji.declare(server={"command": ["sh", "-c", f"{first}; {repeats}"]},
                 client={"links": ["server"]})  # fmt: skip
    toji("init")
    error = toji("wait", "--timeout", "1", status=8).stderr
    assert error[error.index("toji: not ready") :].splitlines()[:6] == [
        "toji: not ready after 1 s",
        "  server (running): not yet",
        "  client (running): waiting for server",
        "  last lines of server:",
        "    the cause",
        "    60: waiting for the hub",
    ]


def test_wait_ends_in_time_although_a_health_check_does_not(toji: Toji) -> None:
    toji.declare(server={"command": ["sh", "-c", "touch /hangs /ready; sleep 1000"]})
    toji("init")
    error = toji("wait", "--timeout", "3", status=8).stderr
    assert "not ready after 3 s" in error
    assert "server (running): the health check did not end within 5 s" in error


def test_wait_ends_as_soon_as_a_container_has(toji: Toji) -> None:
    toji.declare(server={"command": ["sh", "-c", "echo no configuration; exit 5"]})
    toji("init", status=7)
    error = toji("wait", "--timeout", "100", status=8).stderr
    assert "exited with status 5" in error
    assert "no configuration" in error


def test_wait_shows_the_log_of_the_culprit_alone(toji: Toji) -> None:
    toji.declare(
        server={"command": ["sh", "-c", "echo all is well; sleep 1000"]},
        client={"links": ["server"]},
        broken={"command": ["sh", "-c", "echo no configuration; exit 5"]},
    )
    toji("init", status=7)
    error = toji("wait", "--timeout", "100", status=8).stderr
    assert "not running: broken" in error
    assert "no configuration" in error
    assert "all is well" not in error


def test_wait_on_a_stopped_system_says_how_to_start_it(toji: Toji) -> None:
    once = {"detach": False, "run_once": True, "command": ["true"]}
    toji.declare(data=once, server={"volumes_from": ["data"]}, rude={"command": ["sleep", "1000"]})
    toji("init")
    toji("stop")
    assert toji("wait", status=8).stderr.endswith(
        f"toji: '{toji.system}' is stopped\n  hint: toji --system {toji.system} start\n"
    )


def test_a_container_that_was_killed_is_reported_so(
    toji: Toji, client: docker.DockerClient
) -> None:
    toji.declare(server={}, other={})
    toji("init")
    client.containers.get(f"{toji.system}-server").kill()
    error = toji("wait", status=8).stderr
    assert "server (exited): was killed\n" in error
    assert f"then `toji --system {toji.system} up`" in error


def test_a_missing_container_fails_a_wait_and_is_shown(
    toji: Toji, client: docker.DockerClient
) -> None:
    toji.declare(server={}, other={})
    toji("init")
    client.containers.get(f"{toji.system}-other").remove(force=True, v=True)
    error = toji("wait", status=8).stderr
    assert f"'{toji.system}' has no container for other, as moromi.yml declares" in error
    assert f"`toji --system {toji.system} up` creates what is missing" in error
    shown = json.loads(toji("status", "--json").stdout)
    assert (shown["missing"], shown["ready"]) == (["other"], False)
    assert "missing: other" in toji("status").stdout


def test_parts_on_other_data_are_reported(toji: Toji, client: docker.DockerClient) -> None:
    """As after a `docker container prune`, which takes containers that have exited."""
    once = {"detach": False, "run_once": True, "command": ["true"]}
    toji.declare(data=once, server={"volumes_from": ["data"]})
    toji("init")
    client.containers.get(f"{toji.system}-data").remove(force=True, v=True)
    toji("init")
    answer = "server was started with another volume at /data than data has"
    assert answer in toji("wait", status=7).stderr
    assert answer in toji("status").stdout


def test_wait_ends_with_one_line_and_does_not_repeat_what_waits(toji: Toji) -> None:
    toji.declare(server={"command": ["sh", "-c", "sleep 1; touch /ready; sleep 100"]},
                 client={"links": ["server"]})  # fmt: skip
    toji("init")
    ended = toji("wait")
    assert re.fullmatch(r"ready after \d+ s\n", ended.stdout)
    assert "client  ready" in ended.stderr
    assert "waiting" not in ended.stderr
    assert toji("--quiet", "wait").stdout == ""
    answer = json.loads(toji("wait", "--json").stdout)
    assert (answer["version"], answer["system"], answer["ready"]) == (1, toji.system, True)
    toji("stop")
    answer = json.loads(toji("wait", "--json", status=8).stdout)
    assert (answer["ready"], answer["error"]) == (False, f"'{toji.system}' is stopped")


def test_wait_for_a_system_that_is_not_there(toji: Toji) -> None:
    toji.declare(server={})
    assert "there is no system called" in toji("wait", status=7).stderr


def test_logs_of_one_and_of_all(toji: Toji) -> None:
    toji.declare(server=NEVER_READY, client={"links": ["server"]})
    toji("init")
    toji("wait", "--timeout", "0", status=8)
    assert toji("logs", "server").stdout == "line one\nthe last line\n"
    assert toji("logs", "server", "--tail", "1").stdout == "the last line\n"
    lines = toji("logs").stdout.splitlines()
    assert "server | line one" in lines
    assert "client | up" in lines
    assert "it has client, server" in toji("logs", "typo", status=7).stderr


def test_a_log_has_a_limit(toji: Toji, client: docker.DockerClient) -> None:
    """Docker's own default has none. (120 MB of output became 50 MB, with the last line.)"""
    toji.declare(server={})
    toji("init")
    config = client.containers.get(f"{toji.system}-server").attrs["HostConfig"]["LogConfig"]
    assert config == {"Type": "json-file", "Config": {"max-size": "10m", "max-file": "5"}}


def test_logs_follow_until_the_end(toji: Toji, client: docker.DockerClient) -> None:
    toji.declare(server={})
    toji("init")
    process = toji.start("logs", "--follow")
    assert process.stdout
    assert process.stdout.readline() == "up\n"
    client.containers.get(f"{toji.system}-server").stop()
    out, _ = process.communicate(timeout=30)
    assert out == "down\n"


def test_logs_whose_engine_ends(toji: Toji, monkeypatch: pytest.MonkeyPatch) -> None:
    toji.declare(server={})
    toji("init")
    engine = connect().address
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(toji.folder / "engine.sock"))
    server.listen()
    with relay(server, Path(engine.removeprefix("unix://"))) as between:
        monkeypatch.setenv("DOCKER_HOST", f"unix://{toji.folder}/engine.sock")
        process = toji.start("logs", "--follow")
        monkeypatch.setenv("DOCKER_HOST", engine)
        assert process.stdout
        assert process.stdout.readline() == "up\n"
        between.cut()
        _, error = process.communicate(timeout=30)
    assert process.returncode == 4
    assert "the engine does not answer" in error


def test_logs_whose_reader_has_gone(toji: Toji) -> None:
    toji.declare(server={"command": ["sh", "-c", "while :; do echo line; sleep 0.1; done"]})
    toji("init")
    process = toji.start("logs", "--follow")
    assert process.stdout and process.stderr
    assert process.stdout.readline() == "line\n"
    process.stdout.close()
    assert process.wait(timeout=30) in (0, 1)
    assert process.stderr.read() == ""
    process.stderr.close()


def test_exec_passes_output_and_status_on(toji: Toji) -> None:
    toji.declare(server={})
    toji("init")
    assert toji("exec", "server", "echo", "-n", "hello").stdout == "hello"
    assert toji("exec", "server", "--", "echo", "-n", "hello").stdout == "hello"
    assert toji("exec", "server", "sh", "-c", "exit 9", status=9)
    toji("stop")
    assert "'server' is not running (exited)" in toji("exec", "server", "ls", status=7).stderr


def test_exec_takes_the_flags_that_every_hand_types(toji: Toji) -> None:
    toji.declare(server={})
    toji("init")
    for flags in (["-it"], ["-i", "-t"], ["--interactive", "--tty"]):
        assert toji("exec", *flags, "server", "echo", "-n", "-i").stdout == "-i"


def test_exec_of_what_is_not_there(toji: Toji) -> None:
    toji.declare(server={}, data={"detach": False, "run_once": True, "command": ["true"]})
    toji("init")
    assert toji("exec", "server", "nosuch", status=127).stderr == (
        "toji: 'server' has no command 'nosuch'\n"
    )
    error = toji("exec", "data", "ls", status=7).stderr
    assert "'data' has done its work and exited" in error
    assert f"docker run --rm -it --volumes-from {toji.system}-data --entrypoint sh" in error


def test_a_tasks_logs_are_of_no_container(toji: Toji) -> None:
    toji.declare(server={})
    assert (
        "--task takes neither a CONTAINER"
        in toji("logs", "--task", "9", "server", status=64).stderr
    )


def test_a_report_overwrites_a_file_only_with_force(toji: Toji) -> None:
    toji.declare(server={})
    toji("init")
    path = toji.folder / "r.tar.gz"
    path.write_text("mine")
    assert "exists already" in toji("report", str(path), status=7).stderr
    assert path.read_text() == "mine"
    toji("report", "--force", str(path))
    assert path.read_bytes()[:2] == b"\x1f\x8b"


def test_a_report_is_written_although_the_declaration_is_invalid(toji: Toji) -> None:
    toji.declare(server={})
    toji("init")
    (toji.folder / "moromi.yml").write_text("containers: [")
    path = toji.folder / "r.tar.gz"
    assert "the report lacks the declaration" in toji("report", str(path)).stderr
    with tarfile.open(path) as archive:
        names = archive.getnames()
    assert {"r/containers/server.log", "r/moromi.yml.missing.txt"} <= set(names)


@pytest.mark.parametrize(
    ("value", "shown"),
    [("[5ecret-new]", "environment.DB_PASSWORD:..."), ("0755", "line 2, column 59: ..."),
     ("'5ecret-new", "line 3")],
)  # fmt: skip
def test_an_invalid_declaration_shows_no_secret(toji: Toji, value: str, shown: str) -> None:
    """A new one, which no container has yet."""
    toji.declare(server={})
    toji("init")
    text = f"containers:\n  server: {{image: x, wrong: 1, environment: {{DB_PASSWORD: {value}}}}}\n"
    (toji.folder / "moromi.yml").write_text(text)
    path = toji.folder / "r.tar.gz"
    toji("report", str(path))
    with tarfile.open(path) as archive:
        file = archive.extractfile("r/moromi.yml.missing.txt")
        assert file
        reason = file.read().decode()
    assert shown in reason
    assert "5ecret" not in reason
    assert "0755" not in reason


PLANTED = "5ecret-planted"


@pytest.mark.parametrize("kind", ["variable", "url", "token", "key", "session", "header"])
def test_a_planted_secret_is_not_shown(toji: Toji, kind: str) -> None:
    """In a variable, which is printed too, or in what a container prints of itself."""
    dashes = "-" * 5
    variables = {"KOJI_WEB_SECRET": PLANTED} if kind == "variable" else {}
    printed = {
        "variable": "started with $KOJI_WEB_SECRET",
        "url": f"cloning https://bob:{PLANTED}@host/x",
        "token": f"cloning https://{PLANTED}@host/x",
        "key": f"{dashes}BEGIN PRIVATE KEY{dashes}\n{PLANTED}\n{dashes}END PRIVATE KEY{dashes}",
        "session": f"POST /kojihub?session-id=1&session-key={PLANTED}&callnum=2",
        "header": f"Authorization: Bearer {PLANTED}",
    }[kind]
    url = {"SOURCE": f"https://bob:{PLANTED}@host/x"} if kind == "url" else {}
    program = f'printf "%b\\n" "{printed}"; touch /ready; sleep 600'
    declared = {"environment": {**variables, **url}, "command": ["sh", "-c", program]}
    toji.declare(server=declared)
    output = toji("init").stderr
    toji.declare(server={**declared, "environment": {**declared["environment"], "OTHER": "1"}})
    for words in (
        ["status"], ["status", "--json"], ["list", "--json"], ["up", "--dry-run"],
        ["report", str(toji.folder / "r.tar.gz")],
    ):  # fmt: skip
        ended = toji(*words)
        output += ended.stdout + ended.stderr
    assert PLANTED not in output
    with tarfile.open(toji.folder / "r.tar.gz") as archive:
        for member in archive:
            file = archive.extractfile(member)
            assert file is None or PLANTED.encode() not in file.read(), member.name
        assert "r/containers/server.log" in archive.getnames()


def test_exec_uses_the_engine_that_toji_uses(
    toji: Toji, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Found by DOCKER_CONTEXT, or named by DOCKER_HOST whatever the context is."""
    engine = connect().address
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    for name, host in (("good", engine), ("bad", "unix:///nonexistent.sock")):
        subprocess.run(
            ["docker", "context", "create", name, "--docker", f"host={host}"], check=True
        )
    toji.declare(server={})
    toji("init")
    monkeypatch.setenv("DOCKER_CONTEXT", "bad")
    assert toji("exec", "server", "echo", "hello").stdout == "hello\n"
    monkeypatch.delenv("DOCKER_HOST")
    assert "unix:///nonexistent.sock: there is no such socket" in toji("list", status=4).stderr
    monkeypatch.setenv("DOCKER_CONTEXT", "good")
    assert toji("exec", "server", "echo", "hello").stdout == "hello\n"
    monkeypatch.delenv("DOCKER_CONTEXT")
    monkeypatch.setenv("DOCKER_HOST", engine)


def test_ctrl_c_ends_a_wait(toji: Toji) -> None:
    toji.declare(server=NEVER_READY)
    toji("init")
    with toji.start("wait") as process:
        assert process.stderr
        assert any("server  not yet" in line for line in process.stderr)
        process.send_signal(signal.SIGINT)
        assert "Traceback" not in process.stderr.read()
    assert process.returncode == 130
