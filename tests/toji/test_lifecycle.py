"""What toji makes, keeps, and takes away again."""

import json
import signal
import socket
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import docker
import pytest

from nagoya.config import loader
from nagoya.config.model import EVENTS
from nagoya.engine import connect, containers
from nagoya.system import reconcile
from nagoya.system.system import System
from nagoya.utils.progress import Progress
from tests.image.tracked import execute, wait_until
from tests.toji.conftest import IMAGE, Toji, own_system

ONCE = {"detach": False, "run_once": True, "command": ["true"]}


def test_a_system_comes_up_in_order_and_goes_again(toji: Toji, client: docker.DockerClient) -> None:
    toji.declare(data=ONCE, server={"volumes_from": ["data:ro"]}, client={"links": ["server"]})
    toji("init")
    assert toji.states() == {"data": "exited", "server": "running", "client": "running"}
    started = {
        name: client.containers.get(f"{toji.system}-{name}").attrs["State"]["StartedAt"]
        for name in ("data", "server", "client")
    }
    assert started["data"] < started["server"] < started["client"]
    toji("remove")
    assert toji("status", status=7).stderr.startswith("toji: there is no system called")
    assert not client.networks.list(names=[f"^{toji.system}$"])


def test_removing_leaves_no_volume(toji: Toji, client: docker.DockerClient) -> None:
    toji.declare(data=ONCE, server={"volumes_from": ["data"]})
    toji("init")
    mounts = client.containers.get(f"{toji.system}-server").attrs["Mounts"]
    assert len(mounts) == 1
    toji("remove")
    assert mounts[0]["Name"] not in [volume.name for volume in client.volumes.list()]


def test_a_removal_waits_for_another_that_is_under_way(
    toji: Toji, client: docker.DockerClient
) -> None:
    """What follows, the removal of the network, fails while a container is still part of it."""
    toji.declare(server={})
    toji("init")
    engine = connect()
    handle = containers.get(engine, f"{toji.system}-server")
    handle.docker.pause()  # an engine takes longer over it
    together = threading.Barrier(4)

    def remove() -> bool:
        together.wait()
        containers.remove(handle)
        return f"{toji.system}-server" in [
            listed.name for listed in client.containers.list(all=True, ignore_removed=True)
        ]

    with ThreadPoolExecutor(4) as pool:
        there = [pool.submit(remove) for _ in range(4)]
    assert [future.result() for future in there] == [False] * 4


def test_init_twice_is_harmless(toji: Toji, client: docker.DockerClient) -> None:
    toji.declare(data=ONCE, server={"volumes_from": ["data"]})
    toji("init")
    first = client.containers.get(f"{toji.system}-server").id
    toji("init")
    assert client.containers.get(f"{toji.system}-server").id == first


def test_two_inits_at_once_make_one_system(toji: Toji, client: docker.DockerClient) -> None:
    toji.declare(data=ONCE, server={"volumes_from": ["data"]}, client={"links": ["server"]})
    processes = [toji.start("init"), toji.start("init")]
    ended = [process.communicate(timeout=60) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], ended
    assert toji.states() == {"data": "exited", "server": "running", "client": "running"}
    assert len(client.networks.list(names=[f"^{toji.system}$"])) == 1


@pytest.mark.parametrize("verb", ["start", "init"])
def test_a_network_that_was_pruned_is_made_again(
    toji: Toji, client: docker.DockerClient, verb: str
) -> None:
    toji.declare(server={}, client={"links": ["server"]})
    toji("init")
    toji("stop")
    client.networks.get(toji.system).remove()
    assert "create network" in toji(verb, "--dry-run").stdout
    toji(verb)
    assert toji.states() == {"server": "running", "client": "running"}
    container = client.containers.get(f"{toji.system}-client")
    assert execute(container, "getent", "hosts", "server")[0] == 0


def test_names_on_the_network_and_modes_of_volumes(toji: Toji, client: docker.DockerClient) -> None:
    toji.declare(
        data=ONCE,
        writer={"volumes_from": ["data:rw"]},
        reader={"volumes_from": ["data:ro"], "links": ["writer"]},
    )
    toji("init")
    writer, reader = (client.containers.get(f"{toji.system}-{n}") for n in ("writer", "reader"))
    assert execute(writer, "touch", "/data/file")[0] == 0
    assert execute(reader, "test", "-e", "/data/file")[0] == 0
    assert execute(reader, "touch", "/data/another")[0] != 0
    assert execute(reader, "getent", "hosts", "writer")[0] == 0
    assert execute(reader, "hostname") == (0, "reader\n")


def test_one_without_a_network_reaches_nobody_and_is_ready(
    toji: Toji, client: docker.DockerClient
) -> None:
    toji.declare(alone={"network_mode": "none"}, other={"volumes_from": ["alone"]})
    toji("init")
    toji("wait", "--timeout", "30")
    container = client.containers.get(f"{toji.system}-alone")
    assert execute(container, "ls", "/sys/class/net") == (0, "lo\n")
    shown = {
        entry["name"]: entry for entry in json.loads(toji("status", "--json").stdout)["containers"]
    }
    assert (shown["alone"]["address"], shown["alone"]["state"]) == (None, "running")
    assert shown["other"]["address"]


def test_stop_and_start_keep_the_data_and_the_ports(
    toji: Toji, client: docker.DockerClient
) -> None:
    toji.declare(server={"ports": [80]})
    toji("init")
    server = client.containers.get(f"{toji.system}-server")
    execute(server, "touch", "/kept", "/data/kept")
    before = server.attrs["HostConfig"]["PortBindings"]
    toji("stop")
    assert toji.states() == {"server": "exited"}
    assert server.logs().splitlines()[-1] == b"down"
    toji("stop")
    toji("start")
    server.reload()
    assert execute(server, "ls", "/kept", "/data/kept")[0] == 0
    assert server.attrs["HostConfig"]["PortBindings"] == before


def test_ports_are_published_on_this_machine_alone(toji: Toji, client: docker.DockerClient) -> None:
    toji.declare(server={"ports": [80, 443]})
    toji("init")
    bindings = client.containers.get(f"{toji.system}-server").attrs["HostConfig"]["PortBindings"]
    assert {binding[0]["HostIp"] for binding in bindings.values()} == {"127.0.0.1"}
    shown = toji("status").stdout
    assert all(f"127.0.0.1:{binding[0]['HostPort']}" in shown for binding in bindings.values())


@pytest.mark.parametrize(("address", "reached"), [("0.0.0.0", "127.0.0.1"), ("[::]", "::1")])
def test_a_port_is_published_on_an_address(
    toji: Toji, client: docker.DockerClient, address: str, reached: str
) -> None:
    """In place of 127.0.0.1, with the port that it had; variables name an address that works."""
    environment = {"URL": "https://{host}:{port:80}"}
    toji.declare(server={"ports": [80], "environment": environment})
    toji("up")
    before = json.loads(toji("status", "--json").stdout)["containers"][0]["ports"]["80"]
    toji.declare(server={"ports": [f"{address}::80"], "environment": environment})
    assert "server differs: changed ports" in toji("status").stdout
    toji("up")
    server = client.containers.get(f"{toji.system}-server")
    shown = f"[{reached}]" if ":" in reached else reached
    assert f"URL=https://{shown}:{before}" in server.attrs["Config"]["Env"]
    assert f"server: {address}:{before}->80" in toji("status").stdout
    with socket.create_connection((reached, before), timeout=10):
        pass


def test_an_address_that_the_machine_lacks(toji: Toji) -> None:
    toji.declare(server={"ports": ["192.0.2.7:8443:80"]})
    error = toji("init", status=7).stderr
    assert "`ports` in moromi.yml or TESTCONTAINERS_HOST_OVERRIDE names it" in error
    assert "192.0.2.7 is not an address of this machine" in toji("doctor", status=1).stdout


def test_a_port_that_another_system_has(
    toji: Toji, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with own_system(tmp_path_factory.mktemp("other")) as other:
        other.declare(web={"ports": [80]})
        other("init")
        port = json.loads(other("status", "--json").stdout)["containers"][0]["ports"]["80"]
        toji.declare(server={"ports": [f"{port}:80"]})
        error = toji("init", status=7).stderr
    taken = f"port {port} of 127.0.0.1 is taken by {other.system}-web (system '{other.system}')"
    assert taken in error


def test_a_port_that_is_taken_is_reported(toji: Toji) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        toji.declare(server={"ports": [f"{port}:80"]})
        error = toji("init", status=7).stderr
    assert f"server: port {port} of 127.0.0.1 is taken\n" in error
    toji("init")
    assert toji.states() == {"server": "running"}


def test_a_run_once_container_does_not_run_again(toji: Toji, client: docker.DockerClient) -> None:
    toji.declare(data=ONCE)
    toji("init")
    started = client.containers.get(f"{toji.system}-data").attrs["State"]["StartedAt"]
    toji("stop")
    toji("start")
    assert client.containers.get(f"{toji.system}-data").attrs["State"]["StartedAt"] == started


def test_one_that_fails_is_reported_and_what_needs_it_is_skipped(toji: Toji) -> None:
    broken = {**ONCE, "command": ["sh", "-c", "echo the disk is on fire; exit 3"]}
    toji.declare(data=broken, server={"links": ["data"]}, other={})
    error = toji("init", status=7).stderr
    assert "data: ended with status 3" in error
    assert "the disk is on fire" in error
    assert f"toji --system {toji.system} remove" in error
    assert toji.states() == {"data": "exited", "other": "running"}


def test_what_is_half_there_is_completed_or_removed(
    toji: Toji, client: docker.DockerClient
) -> None:
    toji.declare(data=ONCE, server={"volumes_from": ["data"]}, client={"links": ["server"]})
    toji("init")
    client.containers.get(f"{toji.system}-server").remove(force=True)
    toji("init")
    assert toji.states()["server"] == "running"
    client.containers.get(f"{toji.system}-data").remove(force=True)
    client.containers.get(f"{toji.system}-client").kill()
    toji("remove")
    toji("status", status=7)


def test_what_bears_no_label_is_left_alone(
    toji: Toji, client: docker.DockerClient, tiny: str
) -> None:
    """A container or a network of the right name may be somebody else's."""
    toji.declare(server={})
    network = client.networks.create(toji.system)
    try:
        error = toji("init", status=7).stderr
    finally:
        network.remove()
    assert f"a network named '{toji.system}' already exists" in error
    strangers = client.containers.create(tiny, name=f"{toji.system}-server")
    try:
        assert "already exists and does not belong to the system" in toji("init", status=7).stderr
        toji("remove")
        strangers.reload()
        assert strangers.status == "created"
    finally:
        strangers.remove(v=True)


@pytest.mark.parametrize("name", ["default", "host", "pod"])
def test_a_system_may_be_called_as_a_network_mode(
    toji: Toji, client: docker.DockerClient, name: str
) -> None:
    toji.declare(server={}, client={"links": ["server"]})
    toji("--system", name, "init")
    try:
        toji("--system", name, "exec", "client", "getent", "hosts", "server")
    finally:
        toji("--system", name, "remove")
    assert not client.networks.list(names=[f"^{name}.system$"])


def test_an_image_that_is_not_there_is_named(toji: Toji) -> None:
    toji.declare(server={})
    text = (toji.folder / "moromi.yml").read_text().replace(IMAGE, "no-such-image")
    (toji.folder / "moromi.yml").write_text(text)
    (toji.folder / IMAGE).rename(toji.folder / "no-such-image")
    error = toji("init", status=7).stderr
    assert "no image called no-such-image" in error
    assert f"moromi -c {toji.folder}/moromi.yml build no-such-image" in error


def test_events_reach_their_callbacks_in_order(toji: Toji, noted: Callable[[], list[str]]) -> None:
    toji.declare(server={"callbacks": {event: [f"notes.{event}"] for event in EVENTS}})
    toji("init")
    startup = ["pre_init", "pre_create", "post_create", "pre_start", "post_start", "post_init"]
    ended = ["pre_stop", "post_stop", "pre_remove", "post_remove"]
    assert noted() == [f"{event} server" for event in startup]
    toji("stop")
    toji("remove")
    assert noted() == [f"{event} server" for event in startup + ended]


@pytest.mark.usefixtures("noted")
def test_a_callback_that_fails_is_reported(toji: Toji) -> None:
    toji.declare(server={"callbacks": {"post_start": ["notes.fails"]}})
    assert "server: the callback refused" in toji("init", status=7).stderr


@pytest.mark.usefixtures("noted")
def test_what_a_failed_callback_left_undone_is_made_good(
    toji: Toji, noted: Callable[[], list[str]]
) -> None:
    toji.declare(server={"callbacks": {"post_start": ["notes.fails"]}})
    toji("init", status=7)
    toji.declare(server={"callbacks": {"post_init": ["notes.post_init"]}})
    toji("init")
    assert noted() == ["post_init server"]


def test_a_callback_that_does_not_exist_starts_nothing(toji: Toji) -> None:
    toji.declare(server={"callbacks": {"post_start": ["notes.missing"]}})
    error = toji("init", status=3).stderr
    assert "containers.server.callbacks.post_start[0]: No module named 'notes'" in error
    toji.declare(server={})
    toji("status", status=7)


def test_a_paused_container_is_stopped_too(toji: Toji, client: docker.DockerClient) -> None:
    toji.declare(server={"stop_timeout": 1})
    toji("init")
    client.containers.get(f"{toji.system}-server").pause()
    toji("stop")
    assert toji.states() == {"server": "exited"}


def test_a_paused_container_is_reported_and_goes_on(
    toji: Toji, client: docker.DockerClient
) -> None:
    toji.declare(server={})
    toji("init")
    container = client.containers.get(f"{toji.system}-server")
    container.pause()
    error = toji("wait", status=8).stderr
    assert "server (paused): paused" in error
    assert f"then `toji --system {toji.system} up`" in error
    toji("start")
    assert toji.states() == {"server": "running"}
    container.reload()
    assert container.attrs["RestartCount"] == 0


def test_a_system_that_is_named_wins_over_the_environment(
    toji: Toji, monkeypatch: pytest.MonkeyPatch
) -> None:
    toji.declare(server={})
    monkeypatch.setenv("NAGOYA_SYSTEM", "another")
    toji("init")
    assert toji.states() == {"server": "running"}
    monkeypatch.setenv("NAGOYA_SYSTEM", toji.system)
    assert "no system called 'third'" in toji("--system", "third", "stop", status=7).stderr


def test_two_systems_side_by_side(toji: Toji, client: docker.DockerClient) -> None:
    toji.declare(server={"ports": [80]})
    toji("init")
    toji("--system", f"{toji.system}b", "init")
    toji("remove")
    assert client.containers.get(f"{toji.system}b-server").status == "running"
    toji("--system", f"{toji.system}b", "remove")


def test_many_systems_at_once_have_nothing_in_common(
    toji: Toji, client: docker.DockerClient
) -> None:
    toji.declare(data=ONCE, server={"volumes_from": ["data"], "ports": [80, 443]})
    systems = [f"{toji.system}{letter}" for letter in "abcd"]
    started = [toji.start("--system", system, "init") for system in systems]
    try:
        ended = [process.communicate(timeout=100) for process in started]
        assert [process.returncode for process in started] == [0] * 4, ended
        servers = [client.containers.get(f"{system}-server") for system in systems]
        bindings = [server.attrs["HostConfig"]["PortBindings"].values() for server in servers]
        assert len({port[0]["HostPort"] for ports in bindings for port in ports}) == 8
        assert len({server.attrs["Mounts"][0]["Name"] for server in servers}) == 4
    finally:
        for system in systems:
            toji("--system", system, "remove")


def test_ctrl_c_says_how_to_clean_up(toji: Toji, client: docker.DockerClient) -> None:
    toji.declare(data={**ONCE, "command": ["sleep", "100"]}, server={"volumes_from": ["data"]})
    process = toji.start("init")
    running = {"name": f"^/{toji.system}-data$", "status": "running"}
    wait_until(lambda: client.containers.list(filters=running), 30, "it waits for data's end")
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=30)
    assert process.returncode == 130
    assert f"toji remove --system {toji.system}" in error
    assert "Traceback" not in error

    # By now it could have data.
    (data,) = client.containers.list(filters=running)
    data.kill()
    process = toji.start("init")
    wait_until(lambda: client.containers.list(filters=running), 30, "it starts data again")
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=30)
    assert "hint: run the same command again" in error
    assert "remove" not in error
    toji("remove")
    toji("status", status=7)


def test_a_device_is_passed_on_or_reported_missing(toji: Toji, client: docker.DockerClient) -> None:
    toji.declare(server={"devices": ["/dev/full"]})
    toji("init")
    devices = client.containers.get(f"{toji.system}-server").attrs["HostConfig"]["Devices"]
    assert [device["PathInContainer"] for device in devices] == ["/dev/full"]
    toji.declare(server={"devices": ["/dev/missing"]})
    message = toji("up", status=7).stderr
    assert "/dev/missing" in message
    assert "Traceback" not in message


def test_a_name_that_cannot_be_a_host_name_is_refused(toji: Toji) -> None:
    toji.declare(server={})
    assert "cannot name a system" in toji("--system", "No_Way", "init", status=64).stderr


def test_scaling_adds_and_takes_away_the_last(
    toji: Toji, client: docker.DockerClient, noted: Callable[[], list[str]]
) -> None:
    calls = {"post_init": ["notes.post_init"], "post_remove": ["notes.post_remove"]}
    toji.declare(server={}, worker={"links": ["server"], "callbacks": calls})
    toji("init")
    toji("scale", "worker=3")
    assert toji.states() == dict.fromkeys(("server", "worker", "worker-2", "worker-3"), "running")
    third = client.containers.get(f"{toji.system}-worker-3")
    assert execute(third, "getent", "hosts", "worker-2", "server")[0] == 0

    toji("init")
    toji("scale", "worker=1")
    assert toji.states() == {"server": "running", "worker": "running"}
    toji("scale", "worker=0")
    assert toji.states() == {"server": "running"}
    ended = ["worker-2", "worker-3", "worker"]
    removed = [line for line in noted() if line.startswith("post_remove")]
    assert sorted(removed) == sorted(f"post_remove {name}" for name in ended)


def test_what_goes_is_drained_as_its_image_says(toji: Toji) -> None:
    """The command of the image's label gets the seconds that it may take as its last argument."""
    toji.declare(worker={})
    toji("init")
    toji("scale", "worker=2")
    output = toji("scale", "worker=1", "--drain-timeout", "7").stderr
    assert "draining for up to 7 s" in output
    assert "worker-2 did not finish its tasks (refuses after 7); the hub gives them" in output


def test_what_ends_before_it_is_drained_goes_too(
    toji: Toji, client: docker.DockerClient, capsys: pytest.CaptureFixture[str]
) -> None:
    """The engine runs no command in a container that restarts or has ended."""
    toji.declare(server={}, worker={})
    toji("init")
    declaration = loader.read(toji.folder / "moromi.yml")
    system = System(connect(), declaration, toji.system, Progress())
    plan = reconcile.scale(declaration, system.observe(), "worker", 0)
    client.containers.get(f"{toji.system}-worker").kill()
    system.apply(plan)
    assert "is not running); the hub gives them to another builder" in capsys.readouterr().err
    assert toji.states() == {"server": "running"}


@pytest.mark.parametrize(
    ("wanted", "status", "message"),
    [
        ("worker", 64, "'worker' is not of the form NAME=N"),
        ("worker=many", 64, "is not of the form NAME=N"),
        ("typo=2", 7, "moromi.yml declares no container 'typo'"),
        ("server=2", 7, "'server' cannot run more than once: worker would not find the copies"),
        ("server=0", 7, "'server' cannot be removed, since other containers need it: worker"),
    ],
)
def test_a_wrong_scale_is_reported(toji: Toji, wanted: str, status: int, message: str) -> None:
    toji.declare(server={}, worker={"links": ["server"]})
    toji("init")
    assert message in toji("scale", wanted, status=status).stderr


def test_restart_restarts_what_is_named_and_waits(toji: Toji, client: docker.DockerClient) -> None:
    def started() -> dict[str, str]:
        names = {container: f"{toji.system}-{container}" for container in toji.states()}
        return {
            container: client.containers.get(name).attrs["State"]["StartedAt"]
            for container, name in names.items()
        }

    toji.declare(one={}, two={"links": ["one"]}, other={})
    toji("up")
    before = started()
    toji("restart", "one")
    after = started()
    assert {name for name in after if after[name] != before[name]} == {"one"}
    assert set(toji.states().values()) == {"running"}
    error = toji("restart", "on", status=7).stderr
    assert f"'{toji.system}' has no container 'on'; did you mean 'one'" in error


def test_a_read_only_container_writes_to_its_volumes_alone(toji: Toji) -> None:
    command = ["sh", "-c", "touch /data/file && ! touch /file && ! touch /tmp/file"]
    toji.declare(once={"command": command, "detach": False, "read_only": True,
                       "volumes": ["files:/data"]})  # fmt: skip
    toji("init")
