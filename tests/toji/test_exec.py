"""Commands in containers: all that they print, whatever they do, and never longer than allowed."""

import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest
from docker.tls import TLSConfig

from nagoya.engine import Engine, Handle, connect, containers
from nagoya.engine.client import Address
from nagoya.engine.exec import ExecSession, execute
from nagoya.errors import EngineError, EngineTimeout
from tests.toji.relay import relay
from util.certificates import Authority


@pytest.fixture(scope="module")
def engine() -> Engine:
    return connect()


@pytest.fixture(scope="module")
def handle(engine: Engine, tiny: str) -> Iterator[Handle]:
    """A container that runs."""
    container = engine.client.containers.run(tiny, detach=True)
    yield Handle(engine, container)
    container.remove(force=True, v=True)


def processes(handle: Handle) -> str:
    return str(handle.docker.top(ps_args="-eo pid,args"))


def test_a_command_s_status_output_and_input(handle: Handle) -> None:
    shell = ["sh", "-c", "echo $WORD; echo said >&2; exit 3"]
    status, output = execute(handle, shell, seconds=30, environment={"WORD": "a word"})
    assert (status, set(output.splitlines())) == (3, {"a word", "said"})
    assert execute(handle, ["cat"], seconds=30, input=b"") == (0, "")
    # More in both directions at once than any pipe holds.
    much = b"0123456789abcde\n" * 200_000
    assert execute(handle, ["cat"], seconds=60, input=much) == (0, much.decode())


def test_a_program_that_is_not_there(handle: Handle) -> None:
    status, output = execute(handle, ["no-such-program"], seconds=30)
    assert status == 127
    assert "no-such-program" in output


def test_an_image_without_timeout(handle: Handle) -> None:
    path = execute(handle, ["sh", "-c", "command -v timeout"], seconds=30)[1].strip()
    execute(handle, ["mv", path, "/tmp"], seconds=30)
    try:
        assert execute(handle, ["echo", "said"], seconds=30) == (0, "said\n")
    finally:
        execute(handle, ["mv", "/tmp/timeout", path], seconds=30)


@pytest.mark.parametrize("command", ["sleep 4321", "while :; do echo again; sleep 0.1; done"])
def test_a_command_that_does_not_end(handle: Handle, command: str) -> None:
    """It ends at its deadline, whether it is silent or not, and is killed in the container."""
    threads = threading.active_count()
    with pytest.raises(EngineError, match="did not answer within 1 s"):
        execute(handle, ["sh", "-c", command], seconds=1)
    assert threading.active_count() == threads
    deadline = time.monotonic() + 30
    while command in processes(handle):
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_questions_and_answers(handle: Handle) -> None:
    program = 'while read line; do echo noise >&2; echo "<$line>"; done; echo ended >/tmp/ended'
    with ExecSession(handle, ["sh", "-c", program]) as session:
        assert [session.ask(word, 30) for word in ("one", "two")] == ["<one>", "<two>"]
    for _ in range(300):
        if execute(handle, ["test", "-e", "/tmp/ended"], seconds=30)[0] == 0:
            return
        time.sleep(0.1)
    pytest.fail("the program did not read the end of its input")


def test_a_program_that_ends_says_why(handle: Handle) -> None:
    with (
        ExecSession(handle, ["sh", "-c", "echo the reason >&2; exit 1"]) as session,
        pytest.raises(EngineError, match="sh has ended: the reason"),
    ):
        session.ask("anything", 30)


def test_a_program_that_does_not_answer(handle: Handle) -> None:
    with (
        ExecSession(handle, ["sh", "-c", "read line; read line"]) as session,
        pytest.raises(EngineError, match="did not answer within 1 s"),
    ):
        session.ask("anything", 1)


def test_a_container_that_does_not_end(handle: Handle) -> None:
    with pytest.raises(EngineTimeout, match="did not end within 1 s"):
        containers.wait_exit(handle, 1)


def test_a_container_that_does_not_run(engine: Engine, tiny: str) -> None:
    container = engine.client.containers.create(tiny)
    try:
        with pytest.raises(EngineError, match="not running"):
            execute(Handle(engine, container), ["true"], seconds=30)
    finally:
        container.remove(v=True)


def test_all_output_is_received_however_late_it_is_read(
    handle: Handle, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a busy machine a command may have ended before the head of the answer is read."""
    receive = socket.socket.recv

    class Late(socket.socket):
        def recv(self, size: int, flags: int = 0) -> bytes:
            time.sleep(1)
            return receive(self, size, flags)

    monkeypatch.setattr(socket, "socket", Late)
    assert execute(handle, ["echo", "said"], seconds=30) == (0, "said\n")
    with (
        ExecSession(handle, ["sh", "-c", "echo reason >&2"]) as session,
        pytest.raises(EngineError, match="sh has ended: reason"),
    ):
        session.ask("anything", 30)


def test_an_engine_behind_tls(
    handle: Handle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Input ends while the output goes on, which TLS can say too."""
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):  # win over the SDK's own settings
        monkeypatch.delenv(name, raising=False)
    authority = Authority.create(tmp_path)
    authority.issue("engine", ips=[ipaddress.IPv4Address("127.0.0.1")], server=True)
    authority.issue("toji", client=True)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=tmp_path / "koji_ca_cert.crt")
    tls.verify_mode = ssl.CERT_REQUIRED
    tls.load_cert_chain(tmp_path / "engine.pem")
    target = Path(handle.engine.address.removeprefix("unix://"))
    server = socket.create_server(("127.0.0.1", 0))
    url = f"tcp://127.0.0.1:{server.getsockname()[1]}"
    pem, ca = str(tmp_path / "toji.pem"), str(tmp_path / "koji_ca_cert.crt")
    with relay(server, target, tls):
        address = Address(url, tls=TLSConfig(client_cert=(pem, pem), ca_cert=ca, verify=True))
        client = docker.DockerClient(base_url=url, tls=address.tls or False)
        far = containers.get(Engine(client, address), handle.name)
        status, output = execute(far, ["wc", "-c"], seconds=60, input=b"x" * 3_000_000)
        assert (status, output.strip()) == (0, "3000000")
        assert execute(far, ["seq", "100000"], seconds=60)[1].endswith("\n100000\n")
        with ExecSession(far, ["cat"]) as session:
            assert session.ask("one", 30) == "one"
        client.close()
