"""What outlives containers, and what `toji up` changes when the declaration or an image does."""

import io
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import docker
import pytest

from tests.image.tracked import execute, wait_until
from tests.toji.conftest import IMAGE, TOKEN, Toji, own_system

DATA = {"detach": False, "run_once": True, "command": ["true"], "volumes": ["files:/data"]}


@pytest.fixture
def build(client: docker.DockerClient) -> Iterator[Callable[..., str]]:
    """`build("db", "RUN mkdir /db")`: an image on the tiny one, also one of the same name."""
    names: set[str] = set()

    def build(name: str, *steps: str) -> str:
        tag = f"nagoya-test-{name}-{TOKEN}"
        text = "\n".join([f"FROM {IMAGE}", *steps])
        client.images.build(fileobj=io.BytesIO(text.encode()), tag=tag, rm=True)
        names.add(tag)
        return tag

    yield build
    for name in names:
        client.images.remove(name, force=True)


def declare(toji: Toji, image: str, **containers: dict[str, Any]) -> None:
    """Declare containers; `image` is known beside the tiny one."""
    toji.declare(**containers)
    (toji.folder / image).mkdir(exist_ok=True)
    (toji.folder / image / "Dockerfile").write_text(f"FROM {IMAGE}\n")
    path = toji.folder / "moromi.yml"
    path.write_text(path.read_text().replace("images:\n", f"images:\n  {image}: {{}}\n"))


def run(client: docker.DockerClient, name: str, command: str) -> str:
    """What a command printed in a running container."""
    status, output = execute(client.containers.get(name), "sh", "-c", command)
    assert status == 0, output
    return output.strip()


def test_configuration_that_toji_wrote_outlives_its_container(
    toji: Toji, client: docker.DockerClient, build: Callable[..., str]
) -> None:
    image = build("site", "LABEL nagoya.configuration='[\"/etc/site.conf\"]'")
    for number in (1, 2, 3):
        declare(toji, image, hub={"image": image, "environment": {"NUMBER": f"{number}"}})
        toji("up")
        if number == 2:  # so the replacement of the first had nothing to get
            run(client, f"{toji.system}-hub", "echo policy > /etc/site.conf")
    assert run(client, f"{toji.system}-hub", "cat /etc/site.conf; echo $NUMBER") == "policy\n3"


def test_data_outlives_a_pruned_container(toji: Toji, client: docker.DockerClient) -> None:
    toji.declare(data=DATA, server={"volumes_from": ["data"]})
    toji("init")
    run(client, f"{toji.system}-server", "echo precious > /data/file")
    client.containers.prune(filters={"label": f"nagoya.system={toji.system}"})
    assert "data" not in toji.states()
    dry = toji("init", "--dry-run").stdout
    assert f"create data: missing; its data is in {toji.system}-files" in dry
    toji("init")
    toji("stop")
    toji("start")
    toji("wait")
    mounts = client.containers.get(f"{toji.system}-data").attrs["Mounts"]
    assert [mount["Name"] for mount in mounts] == [f"{toji.system}-files"]
    assert run(client, f"{toji.system}-server", "cat /data/file") == "precious"
    # All of them are gone: the same.
    toji("stop")
    client.containers.prune(filters={"label": f"nagoya.system={toji.system}"})
    toji("init")
    assert run(client, f"{toji.system}-server", "cat /data/file") == "precious"
    toji("remove")
    assert f"{toji.system}-files" not in [volume.name for volume in client.volumes.list()]


def test_a_new_volume_holds_what_the_image_has(
    toji: Toji, client: docker.DockerClient, build: Callable[..., str]
) -> None:
    image = build("seeded", "RUN mkdir /seed && echo image > /seed/file && chown 77 /seed/file")
    data = {**DATA, "image": image, "volumes": ["seed:/seed"]}
    declare(toji, image, data=data, server={"volumes_from": ["data"]})
    toji("init")
    assert run(client, f"{toji.system}-server", "cat /seed/file; stat -c %u /seed/file") == (
        "image\n77"
    )


def test_a_volume_of_somebody_else_is_refused(toji: Toji, client: docker.DockerClient) -> None:
    volume = client.volumes.create(f"{toji.system}-files")
    toji.declare(data=DATA)
    try:
        error = toji("init", status=7).stderr
        assert f"a volume named '{toji.system}-files' already exists" in error
        toji("remove")
        volume.reload()
    finally:
        volume.remove()


def test_parts_that_do_not_belong_together_are_reported(
    toji: Toji, client: docker.DockerClient
) -> None:
    toji.declare(data={**DATA, "volumes": []}, server={"volumes_from": ["data"]})
    toji("init")
    client.containers.get(f"{toji.system}-data").remove()
    toji.declare(data=DATA, server={"volumes_from": ["data"]})
    for verb in ("init", "up", "wait"):
        error = toji(verb, status=7).stderr
        assert "server was started with another volume at /data than data has" in error
        assert f"`toji --system {toji.system} remove`" in error
    assert toji.states() == {"server": "running"}


def test_init_tells_what_differs_and_up_changes_just_that(
    toji: Toji, client: docker.DockerClient
) -> None:
    server = {"ports": [80], "environment": {"URL": "http://127.0.0.1:{port:80}"}}
    toji.declare(server=server, client={"links": ["server"]})
    toji("up")
    before = {name: client.containers.get(f"{toji.system}-{name}") for name in ("server", "client")}
    run(client, f"{toji.system}-server", "touch /data/kept")
    server["environment"] = {**server["environment"], "NEW": "yes"}  # type: ignore[dict-item]
    toji.declare(server=server, client={"links": ["server"]})

    output = toji("init").stderr
    assert "server: changed environment" in output
    assert "up` recreates what differs" in output
    assert "stop server: replaced" in toji("up", "--dry-run").stdout
    assert client.containers.get(f"{toji.system}-server").id == before["server"].id

    toji("up")
    after = {name: client.containers.get(f"{toji.system}-{name}") for name in ("server", "client")}
    assert after["client"].id == before["client"].id
    assert after["server"].id != before["server"].id
    bindings = after["server"].attrs["HostConfig"]["PortBindings"]
    assert bindings == before["server"].attrs["HostConfig"]["PortBindings"]
    port = bindings["80/tcp"][0]["HostPort"]
    assert {"NEW=yes", f"URL=http://127.0.0.1:{port}"} <= set(
        after["server"].attrs["Config"]["Env"]
    )
    assert run(client, f"{toji.system}-client", "getent hosts server")
    # The volume that the image declares, and nobody named, goes on too.
    run(client, f"{toji.system}-server", "test -e /data/kept")
    volumes = {mount["Name"] for mount in after["server"].attrs["Mounts"]}
    assert "changed environment" not in toji("init").stderr
    toji("remove")
    assert not volumes & {volume.name for volume in client.volumes.list()}


def test_data_in_a_container_is_copied_only_when_it_is_named(
    toji: Toji, client: docker.DockerClient, build: Callable[..., str]
) -> None:
    steps = ["LABEL nagoya.data='[\"/db\"]'", "RUN mkdir -p /db/sub && echo image > /db/stale"]
    image = build("db", *steps)
    declare(toji, image, db={"image": image}, server={"links": ["db"]})
    toji("up")
    db, server = f"{toji.system}-db", f"{toji.system}-server"
    run(
        client,
        db,
        "rm /db/stale; echo mine > /db/sub/row; chown 77:78 /db/sub/row; chmod 600 /db/sub/row",
    )
    started = client.containers.get(server).attrs["State"]["StartedAt"]
    build("db", *steps, "RUN echo newer > /version")

    output = toji("up").stderr
    assert f"toji --system {toji.system} up --recreate db" in output
    assert client.containers.get(server).attrs["State"]["StartedAt"] == started
    toji("up", "--recreate", "db")
    assert run(client, db, "cat /version /db/sub/row; stat -c %u:%g:%a /db/sub/row; ls /db") == (
        "newer\nmine\n77:78:600\nsub"
    )
    # It was stopped while the data was copied.
    assert client.containers.get(server).attrs["State"]["StartedAt"] > started
    assert toji.states() == {"db": "running", "server": "running"}
    assert "db" not in toji("init").stdout


def test_a_replacement_whose_container_is_gone_is_not_missing_too(
    toji: Toji, client: docker.DockerClient
) -> None:
    """As after a kill -9 of `toji up` before it gave the replacement its name."""
    toji.declare(server={})
    toji("init")
    toji("stop")
    client.containers.get(f"{toji.system}-server").rename(f"{toji.system}-server.new")
    shown = toji("status").stdout
    assert "missing: server" not in shown
    assert not json.loads(toji("status", "--json").stdout)["ready"]


def test_an_interrupted_replacement_is_completed(toji: Toji, client: docker.DockerClient) -> None:
    toji.declare(server={})
    toji("init")
    container = client.containers.get(f"{toji.system}-server")
    container.rename(f"{toji.system}-server.new")
    assert toji.states() == {"server": "running"}
    toji("init")
    container.reload()
    assert container.name == f"{toji.system}-server"
    other = client.containers.create(
        IMAGE, name=f"{toji.system}-server.new", hostname="server",
        labels={"nagoya.system": toji.system, "nagoya.container": "server"},
    )  # fmt: skip
    toji("up")
    with pytest.raises(docker.errors.NotFound):
        other.reload()


def test_another_folders_file_changes_nothing(
    toji: Toji, client: docker.DockerClient, tmp_path_factory: pytest.TempPathFactory
) -> None:
    toji.declare(worker={"environment": {"OF": "the first"}})
    toji("init")
    with own_system(tmp_path_factory.mktemp("other")) as other:
        other.declare(worker={"environment": {"OF": "the second"}}, more={})
        output = other("--system", toji.system, "scale", "worker=2").stderr
        assert (
            f"using {toji.folder / 'moromi.yml'}, which '{toji.system}' was created from" in output
        )
        environment = client.containers.get(f"{toji.system}-worker-2").attrs["Config"]["Env"]
        assert "OF=the first" in environment
        assert other("--system", toji.system, "init").stderr.count("worker: changed") == 0
        # With -c the other one is what counts.
        output = other("--system", toji.system, "-c", "moromi.yml", "init").stderr
        assert "worker: changed environment" in output
        assert set(toji.states()) == {"worker", "worker-2", "more"}


def test_a_file_that_is_gone_is_named(toji: Toji) -> None:
    toji.declare(server={})
    toji("init")
    (toji.folder / "moromi.yml").rename(toji.folder / "renamed.yml")
    error = toji("stop", status=3).stderr
    assert f"no such file; the system '{toji.system}' was created from it" in error
    toji("-c", "renamed.yml", "remove")


def test_a_dry_run_does_nothing(toji: Toji, client: docker.DockerClient) -> None:
    toji.declare(data=DATA, worker={"volumes_from": ["data"]})
    assert f"create network {toji.system}: missing\n" in toji("up", "--dry-run").stdout
    assert "there is no system" in toji("status", status=7).stderr
    toji("init")
    assert "create worker-2: missing" in toji("scale", "worker=2", "--dry-run").stdout
    assert "stop worker: running" in toji("stop", "--dry-run").stdout
    assert f"remove volume {toji.system}-files" in toji("remove", "--dry-run").stdout
    assert toji("start", "--dry-run").stdout == ""
    assert toji.states() == {"data": "exited", "worker": "running"}


def test_stop_warns_of_a_prune(toji: Toji) -> None:
    toji.declare(server={})
    toji("init")
    assert "`docker container prune` would remove its containers" in toji("stop").stderr


def test_a_system_that_does_not_exist_is_not_removed(toji: Toji) -> None:
    toji.declare(server={}, data={"callbacks": {"post_remove": ["os.abort"]}})
    output = toji("--system", f"{toji.system}typo", "remove").stderr
    assert f"there is no system called '{toji.system}typo' on this engine" in output
    toji.declare(server={})
    toji("init")
    output = toji("--system", f"{toji.system}typo", "remove").stderr
    assert toji.system in output.partition("there are: ")[2]


def test_a_container_that_takes_too_long_is_reported(toji: Toji) -> None:
    job = {"detach": False, "command": ["sleep", "100"], "timeout": 1, "stop_timeout": 1}
    toji.declare(job=job)
    for _ in range(2):  # it still runs the second time
        error = toji("init", status=7).stderr
        assert "job: still running after 1 s; `timeout: SECONDS` in moromi.yml" in error


@pytest.mark.parametrize("restart", ["no", "always"])
def test_a_container_that_ends_at_once_is_reported_by_init(toji: Toji, restart: str) -> None:
    command = ["sh", "-c", "echo wrong setting; exit 1"]
    toji.declare(server={"command": command, "restart": restart}, other={})
    error = toji("init", status=7).stderr
    assert re.search(r"server: ended (with status 1|and was started again)\n    wrong set", error)
    assert "other" not in error.partition("toji: ")[2]


def test_a_free_port_that_is_taken_meanwhile_is_chosen_again(
    toji: Toji, client: docker.DockerClient
) -> None:
    (toji.folder / "notes.py").write_text(
        "import socket\nheld = []\n"
        "def take(container):\n"
        "    port = container.state().ports[80]\n"
        "    held.append(socket.create_server(('127.0.0.1', port)))\n"
        "    container.log(f'took {port}')\n"
    )
    toji.declare(server={"ports": [80], "callbacks": {"pre_start": ["notes.take"]}})
    output = toji("init").stderr
    port = client.containers.get(f"{toji.system}-server").attrs["HostConfig"]["PortBindings"]
    assert "took " in output
    assert f"took {port['80/tcp'][0]['HostPort']}" not in output
    assert toji.states() == {"server": "running"}
    assert len(client.containers.list(all=True, filters={"name": f"{toji.system}-"})) == 1


def test_a_callback_with_a_fault_is_named(toji: Toji) -> None:
    (toji.folder / "notes.py").write_text("def fails(container):\n    return {}['key']\n")
    toji.declare(server={"callbacks": {"post_start": ["notes.fails"]}})
    error = toji("init", status=7).stderr
    assert "the callback notes.fails failed at post_start of server: KeyError: 'key'" in error


INTERRUPTED = """
import sys, time
from pathlib import Path
from nagoya.config import loader
from nagoya.engine import connect
from nagoya.system.system import System
from nagoya.utils.progress import Progress

system = System(connect(), loader.read(Path("moromi.yml")), sys.argv[1], Progress(quiet=True))
try:
    system.init()
except KeyboardInterrupt:
    system.remove()
    Path("go").touch()
    time.sleep(2)
"""


def test_nothing_is_created_after_ctrl_c(toji: Toji, client: docker.DockerClient) -> None:
    """A thread that was abandoned goes on, in a process that lives: as in the test fixture."""
    (toji.folder / "notes.py").write_text(
        "import time\nfrom pathlib import Path\n"
        "def waits(container):\n"
        "    Path('waits').touch()\n"
        "    while not Path('go').exists():\n"
        "        time.sleep(0.1)\n"
    )
    toji.declare(server={"callbacks": {"pre_create": ["notes.waits"]}})
    process = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED, toji.system],
        cwd=toji.folder,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    wait_until((toji.folder / "waits").exists, 60, "the callback waits")
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=60) == 0
    assert not client.containers.list(all=True, filters={"name": f"{toji.system}-"})


def test_labels_record_what_a_container_is_made_from(
    toji: Toji, client: docker.DockerClient
) -> None:
    toji.declare(server={"environment": {"PASSWORD": "hunter2"}})
    toji("init")
    labels = client.containers.get(f"{toji.system}-server").labels
    assert labels["nagoya.config-file"] == str(toji.folder / "moromi.yml")
    assert set(json.loads(labels["nagoya.config"])) == {"image", "environment"}
    assert "hunter2" not in json.dumps(labels)
