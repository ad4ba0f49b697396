"""status, and what a shell proposes."""

import json
import os
import pty
import select
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import docker

from tests.image.tracked import execute
from tests.toji.conftest import IMAGE, PROGRAM, Toji


def status(toji: Toji) -> dict[str, dict[str, object]]:
    answer = json.loads(toji("status", "--json").stdout)
    return {container["name"]: container for container in answer["containers"]}


def test_health_is_that_of_this_moment(toji: Toji, client: docker.DockerClient) -> None:
    toji.declare(server={}, other={"detach": False, "run_once": True, "command": ["true"]})
    toji("init")
    toji("wait")
    assert (status(toji)["server"]["ready"], status(toji)["server"]["health"]) == (True, "ready")
    assert status(toji)["other"]["ready"]
    # The engine's own check comes once an hour here.
    execute(client.containers.get(f"{toji.system}-server"), "rm", "/ready")
    assert status(toji)["server"]["health"] == "not yet"
    assert "not yet" in toji("status").stdout
    assert not json.loads(toji("status", "--json").stdout)["ready"]


def test_a_health_check_that_hangs_does_not_hold_status_up(toji: Toji) -> None:
    toji.declare(server={"command": ["sh", "-c", "touch /hangs /ready; sleep 1000"]})
    toji("init")
    assert status(toji)["server"]["health"] == "the health check did not end within 5 s"


def test_status_tells_images_and_where_they_were_declared(
    toji: Toji, client: docker.DockerClient
) -> None:
    toji.declare(server={})
    toji("init")
    answer = json.loads(toji("status", "--json").stdout)
    image = client.images.get(IMAGE)
    assert answer["version"] == 1
    assert answer["file"] == str(toji.folder / "moromi.yml")
    (server,) = answer["containers"]
    assert server["image_id"] == image.id
    assert server["image_created"][:19] == image.attrs["Created"][:19]
    assert (answer["differences"], answer["profile"], answer["urls"]) == ({}, None, None)
    assert f"declared by: {toji.folder}/moromi.yml" in toji("status").stdout
    toji.declare(server={"environment": {"NEW": "1"}})
    answer = json.loads(toji("status", "--json").stdout)
    assert answer["differences"] == {"server": ["changed environment"]}
    assert "server differs: changed environment" in toji("status").stdout


@contextmanager
def terminal(
    toji: Toji, *arguments: str, columns: int
) -> Iterator[tuple["subprocess.Popen[bytes]", int]]:
    """toji on a terminal of so many columns."""
    control, tty = pty.openpty()
    process = subprocess.Popen(
        [PROGRAM, "--system", toji.system, *arguments], cwd=toji.folder,
        env={**os.environ, "HOME": str(toji.folder), "COLUMNS": str(columns), "TERM": "xterm"},
        stdin=tty, stdout=tty, stderr=tty, start_new_session=True,
    )  # fmt: skip
    os.close(tty)
    try:
        yield process, control
    finally:
        process.kill()
        process.wait()
        os.close(control)


def output(descriptor: int, until: str | None = None) -> str:
    """What comes from a terminal, up to its end or until there is some text."""
    text = b""
    while until is None or until not in text.decode(errors="replace"):
        assert select.select([descriptor], [], [], 60)[0], text.decode(errors="replace")
        try:
            text += os.read(descriptor, 1000)
        except OSError:
            break
    return text.decode(errors="replace")


def test_a_narrow_terminal_cuts_no_port_and_no_name(
    toji: Toji, client: docker.DockerClient
) -> None:
    name = "a-server-with-a-long-name"
    toji.declare(**{"server": {"ports": [80, 443]}, name: {}})
    toji("init")
    bindings = client.containers.get(f"{toji.system}-server").attrs["HostConfig"]["PortBindings"]
    with terminal(toji, "status", columns=40) as (_, descriptor):
        shown = output(descriptor)
    for port, binding in bindings.items():
        assert f"127.0.0.1:{binding[0]['HostPort']}->{port.removesuffix('/tcp')}" in shown
    assert f" {name} " in shown
    with terminal(toji, "list", columns=30) as (_, descriptor):
        assert f" {toji.system} " in output(descriptor)


def test_watch_shows_changes_until_ctrl_c(toji: Toji, client: docker.DockerClient) -> None:
    toji.declare(server={})
    toji("init")
    toji("wait")
    with terminal(toji, "status", "--watch", columns=200) as (process, descriptor):
        output(descriptor, until="declared by")
        execute(client.containers.get(f"{toji.system}-server"), "rm", "/ready")
        output(descriptor, until="not yet")
        process.send_signal(signal.SIGINT)
        assert "Traceback" not in output(descriptor)
        assert process.wait(30) == 0


def propose(toji: Toji, *words: str) -> list[str]:
    """What a shell proposes for the last of the words."""
    answer = subprocess.run(
        [PROGRAM], cwd=toji.folder, check=True, capture_output=True, text=True,
        env={**os.environ, "HOME": str(toji.folder), "_TOJI_COMPLETE": "bash_complete",
             "COMP_WORDS": " ".join(["toji", *words]), "COMP_CWORD": str(len(words))},
    )  # fmt: skip
    return [line.removeprefix("plain,") for line in answer.stdout.split()]


def test_a_shell_proposes_names(toji: Toji) -> None:
    toji.declare(server={}, other={})
    toji("init")
    assert toji.system in propose(toji, "--system", "t")
    assert propose(toji, "--system", toji.system, "logs", "ser") == ["server"]
    assert propose(toji, "exec", "--system", toji.system, "o") == ["other"]
    assert propose(toji, "--system", "nosuch", "snapshot", "restore", "p") == []


def test_a_typo_in_a_system_names_those_there_are(toji: Toji) -> None:
    toji.declare(server={})
    toji("init")
    error = toji("--system", "nosuch", "status", status=7).stderr
    assert "there is no system called 'nosuch'" in error
    assert toji.system in error
