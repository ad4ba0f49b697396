"""moromi's images of a live system: what is in them, and what is left where it goes wrong."""

import re
import signal
import subprocess
from typing import Any

import pytest
import yaml

from tests.moromi.conftest import BASE, PROGRAM, Moromi

# It keeps its input, outside of its volume, and says so in a health check.
SERVER = f"""FROM {BASE}
ENV OWN=image
HEALTHCHECK CMD test -e /started
CMD trap 'exit 0' TERM; touch /started; while :; do sleep 0.1; done
"""
# Runs once, and leaves in its volume whatever a file system can hold.
STORE = """FROM X-base
RUN mkdir -p /data/volume && chmod 711 /data && echo old >/data/volume/old
COPY store/fill.py /
LABEL nagoya.private='["/data/volume/keys"]'
VOLUME /data/volume
CMD ["python3", "/fill.py"]
"""
FILL = """
import os
os.chdir("/data/volume")
if os.path.exists("old"):
    os.unlink("old")
    os.mkdir("keys")
    for name in ("keys/key", "file", "setuid"):
        with open(name, "w") as file:
            file.write(name)
    os.link("file", "linked")
    os.symlink("file", "symlink")
    os.chown(".", 33, 44)
    os.chmod(".", 0o2750)
    os.chown("setuid", 33, 44)
    os.chmod("setuid", 0o4711)
    os.utime("setuid", (1, 1234567890))
    os.setxattr("file", "security.capability", bytes.fromhex("0100000200200000" + 24 * "0"))
"""
SHOW = """
import json, os
os.chdir("/data/volume")
def shown(name):
    status = os.lstat(name)
    attributes = {key: os.getxattr(name, key, follow_symlinks=False).hex()
                  for key in os.listxattr(name, follow_symlinks=False)}
    return [oct(status.st_mode), status.st_uid, status.st_gid, attributes]
print(json.dumps({name: shown(name) for name in [".", "..", *sorted(os.listdir("."))]}))
print(int(os.stat("setuid").st_mtime), os.stat("file").st_ino == os.stat("linked").st_ino)
"""
BUILD = """set -e
test $HIS = 1
test -s /data/volume/file
getent hosts server
cat input >/data/volume/more
"""


@pytest.fixture
def live(moromi: Moromi) -> "Live":
    """A system of two containers, and images made of it."""
    moromi.write("store/fill.py", FILL)
    moromi.write("root/build.sh", BUILD)
    moromi.write("root/input", "output")
    moromi.declare(base=PYTHON, server=SERVER, store=STORE)
    system = Live(moromi)
    system.change(lambda raw: None)
    return system


# The smallest image with Python on this engine is one of ours.
PYTHON = "FROM koji-base\n"


class Live:
    """The declaration of `live`, to be changed."""

    def __init__(self, moromi: Moromi) -> None:
        self.moromi = moromi
        self.raw = yaml.safe_load((moromi.folder / "moromi.yml").read_text())
        self.raw["containers"] = {
            "store": {"image": "X-store", "detach": False, "run_once": True},
            "server": {
                "image": "X-server",
                "volumes_from": ["store:rw"],
                "ports": ["39:39"],
                "environment": {"OWN": "container"},
                "stop_timeout": 2,
            },
        }
        self.raw["images"]["X-live"] = {
            "system": {
                "root": {
                    "image": "X-base",
                    "files": "root",
                    "entrypoint": ["bash", "build.sh"],
                    "environment": {"HIS": 1},
                    "volumes_from": ["store"],
                },
                "commit": {"server": "X-server-live"},
                "persist": {"store": "X-store-live"},
            }
        }
        self.entry = self.raw["images"]["X-live"]["system"]

    def change(self, change: Any) -> None:
        change(self.raw)
        self.moromi.write("moromi.yml", yaml.safe_dump(self.raw))

    def run(self, image: str, *command: str) -> str:
        """What a command prints in a new container of an image, with a volume of its own."""
        container = self.moromi.client.containers.create(self.moromi.name(image), list(command))
        try:
            container.start()
            assert container.wait()["StatusCode"] == 0, container.logs()
            return container.logs().decode()
        finally:
            container.remove(v=True, force=True)


def settings(config: dict[str, Any], key: str) -> Any:
    """A part of an image's configuration; the order of variables has no meaning."""
    return sorted(config[key]) if key == "Env" else config.get(key)


def test_files_and_volumes_are_what_they_were(live: Live) -> None:
    _, output = live.moromi("build", "X-live")
    assert "X-store-live CONTAINS SECRETS: /data/volume/keys of store" in output
    assert_nothing_is_left(live.moromi)

    assert live.run("server-live", "cat", "/started") == ""
    config = live.moromi.attributes("server-live")["Config"]
    parent = live.moromi.attributes("server")["Config"]
    for key in ("Env", "Cmd", "Healthcheck", "Entrypoint", "Volumes"):
        assert settings(config, key) == settings(parent, key), key
    filled = {key: text for key, text in config["Labels"].items() if text}
    assert filled.keys() == parent["Labels"].keys()
    assert config["Labels"]["nagoya.image"] == live.moromi.name("server-live")

    output = live.run("store-live", "python3", "-c", SHOW)
    capability = {"security.capability": "0100000200200000" + 24 * "0"}
    named, line, _ = output.split("\n")
    assert yaml.safe_load(named) == {
        ".": ["0o42750", 33, 44, {}],
        "..": ["0o40711", 0, 0, {}],
        "file": ["0o100644", 0, 0, capability],
        "keys": ["0o40755", 0, 0, {}],
        "linked": ["0o100644", 0, 0, capability],
        "more": ["0o100644", 0, 44, {}],
        "setuid": ["0o104711", 33, 44, {}],
        "symlink": ["0o120777", 0, 0, {}],
    }
    assert line == "1234567890 True"


def test_secrets_are_left_out(live: Live) -> None:
    live.change(lambda raw: live.entry.update(secrets=False))
    _, output = live.moromi("build", "X-live")
    assert "X-store-live does not contain the secrets in /data/volume/keys" in output
    there = live.run("store-live", "ls", "/data/volume").split()
    assert "keys" not in there
    assert "file" in there
    labels = live.moromi.attributes("store-live")["Config"]["Labels"]
    assert "nagoya.private.embedded" not in labels

    # What a parent carries, no child is without.
    live.change(lambda raw: live.entry.update(secrets=True))
    live.moromi("build", "X-live")
    live.change(
        lambda raw: raw["images"].update(
            {
                "X-again": {
                    "system": {
                        "containers": "other.yml",
                        "secrets": False,
                        "persist": {"store": "X-store-again"},
                    }
                }
            }
        )
    )
    other = {
        "extends": "moromi.yml",
        "containers": {"server": None, "store": {"image": "X-store-live"}},
    }
    live.moromi.write("other.yml", yaml.safe_dump(other))
    _, output = live.moromi("build", "X-again", status=6)
    assert "X-store-live itself contains secrets" in output


def test_the_unchanged_is_left_alone(live: Live) -> None:
    live.moromi("build", "X-live")
    before = live.moromi.identity("server-live"), live.moromi.identity("store-live")
    _, output = live.moromi("build", "X-store-live")
    assert re.search(r"X-live +unchanged", output)
    assert (live.moromi.identity("server-live"), live.moromi.identity("store-live")) == before

    # One that is missing is not made without the other.
    live.moromi.client.api.remove_image(live.moromi.name("store-live"))
    live.moromi("build", "X-live")
    assert live.moromi.identity("server-live") != before[0]
    assert re.search(r"X-live +unchanged", live.moromi("build", "X-live")[1])

    before = live.moromi.identity("server-live"), live.moromi.identity("store-live")
    live.moromi.write("root/input", "another")
    live.moromi("build", "X-live")
    assert live.moromi.identity("store-live") != before[1]
    assert live.run("store-live", "cat", "/data/volume/more") == "another"
    # The former ones have lost their names, and are known for moromi's.
    out, _ = live.moromi("clean", "--yes")
    assert len(re.findall(r"^remove  X-(server|store)-live ", out, re.M)) == 3


def test_it_is_built_only_where_it_is_named_or_needed(live: Live) -> None:
    moromi = live.moromi
    moromi("build")
    assert moromi.identity("server")
    assert not moromi.identity("server-live")

    def stand(raw: dict[str, Any]) -> None:
        raw["images"]["X-child"] = {"folder": "child"}

    moromi.write("child/Dockerfile", "FROM X-server-live\nRUN test -e /started\n")
    live.change(stand)
    moromi("build", "X-child")
    assert moromi.identity("server-live")
    assert moromi.identity("child")


def test_a_failing_root_shows_its_log_and_leaves_nothing(live: Live) -> None:
    live.moromi.write("root/build.sh", "echo what is wrong >&2; exit 3\n")
    _, output = live.moromi("build", "X-live", status=6)
    report = output.partition("moromi: some images could not be built")[2]
    assert "X-live: running bash build.sh: ended with status 3\n    what is wrong\n" in report
    assert not live.moromi.identity("server-live")
    assert_nothing_is_left(live.moromi)


def test_a_system_that_does_not_come_up_is_reported(live: Live) -> None:
    # Without a health check it would count as ready while it runs.
    dockerfile = f"FROM {BASE}\nHEALTHCHECK CMD false\nCMD echo no good; exit 5\n"
    live.moromi.write("server/Dockerfile", dockerfile)
    _, output = live.moromi("build", "X-live", status=6)
    assert "waiting until it is ready: not running: server" in output
    assert "server (exited): exited with status 5\n  last lines of server:\n    no good" in output
    assert_nothing_is_left(live.moromi)


def test_a_container_without_a_volume(live: Live) -> None:
    live.change(lambda raw: live.entry.update(persist={"server": "X-server-volumes"}))
    _, output = live.moromi("build", "X-live", status=6)
    assert (
        "persist.server: X-server has no volume, so X-server-volumes would contain nothing"
        in output
    )
    assert_nothing_is_left(live.moromi)


def test_a_running_system_of_the_same_declaration_is_untouched(live: Live) -> None:
    moromi = live.moromi
    toji = [str(PROGRAM.with_name("toji")), "--system", moromi.prefix.rstrip("-")]
    moromi("build")
    try:
        # It has the fixed port that the other one would want too.
        subprocess.run([*toji, "init"], cwd=moromi.folder, check=True, capture_output=True)
        before = running(moromi)
        moromi("build", "X-live")
        assert running(moromi) == before
    finally:
        subprocess.run([*toji, "remove"], cwd=moromi.folder, check=True, capture_output=True)


def running(moromi: Moromi) -> set[tuple[str, str]]:
    listed = moromi.client.containers.list()
    return {
        (container.id, container.attrs["State"]["StartedAt"])
        for container in listed
        if container.name.startswith(moromi.prefix)
    }


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_cut_off_it_leaves_nothing_or_what_can_be_found(live: Live, how: signal.Signals) -> None:
    live.moromi.write("root/build.sh", "echo at work; sleep 100\n")
    process = live.moromi.start("-v", "build", "X-live")
    assert process.stderr
    while "at work" not in (line := process.stderr.readline()):
        assert line, "it never came to its root"
    process.send_signal(how)
    _, output = process.communicate(timeout=30)
    if how is signal.SIGINT:
        assert process.returncode == 130
        assert "not built, so still the old images: " in output
    else:
        assert leftovers(live.moromi)
        toji = [str(PROGRAM.with_name("toji")), "remove", "--stale"]
        subprocess.run(toji, cwd=live.moromi.folder, check=True, capture_output=True)
    assert_nothing_is_left(live.moromi)
    assert not live.moromi.identity("server-live")


@pytest.mark.parametrize("hanging", ["starting the system", "stopping the system"])
def test_ctrl_c_in_a_phase_that_waits(live: Live, hanging: str) -> None:
    if hanging == "starting the system":
        live.raw["containers"]["store"]["command"] = ["sleep", "1000"]
    else:
        label = """LABEL nagoya.pre-commit='["sleep", "1000"]'\n"""
        live.moromi.write("server/Dockerfile", SERVER + label)
    live.change(lambda raw: None)
    process = live.moromi.start("-v", "build", "X-live")
    assert process.stderr
    sign = "store: starting" if hanging == "starting the system" else "server: cleaning up"
    while sign not in (line := process.stderr.readline()):
        assert line, "it never came to it"
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130
    assert_nothing_is_left(live.moromi)


def test_a_circle_is_reported(live: Live) -> None:
    live.change(lambda raw: raw["containers"]["server"].update(image="X-server-live"))
    _, output = live.moromi("plan", status=3)
    assert "images: circular dependency: X-live => X-live" in output


def test_another_files_system(live: Live) -> None:
    """What it needs is built, though this file does not declare it."""
    moromi = live.moromi
    (moromi.folder / "moromi.yml").rename(moromi.folder / "other.yml")
    mine = {
        "base": live.raw["base"],
        "images": {
            "X-mine": {"system": {"containers": "other.yml", "commit": {"server": "X-server-mine"}}}
        },
        "containers": {"one": {"image": "X-server-mine"}},
    }
    moromi.write("moromi.yml", yaml.safe_dump(mine))
    out, _ = moromi("plan", "X-server-mine")
    rows = re.findall(r"^  (X-\S+) +build: (.*)$", out, re.MULTILINE)
    assert {name for name, _ in rows} == {"X-base", "X-server", "X-store", "X-mine"}
    assert rows[-1][0] == "X-mine"
    assert "X-mine produces X-server-mine\n" in out
    moromi("build", "X-server-mine")
    assert live.run("server-mine", "cat", "/started") == ""
    assert not moromi.identity("server-live")


def leftovers(moromi: Moromi) -> list[str]:
    """Containers, networks and volumes of the temporary systems of a test."""
    short = f"build-{moromi.prefix}live-"
    client = moromi.client
    return [
        str(resource.name)
        for resource in [
            *client.containers.list(all=True, ignore_removed=True),
            *client.networks.list(),
            *client.volumes.list(),
        ]
        if str(resource.name).startswith(short)
    ]


def assert_nothing_is_left(moromi: Moromi) -> None:
    assert leftovers(moromi) == []
    unnamed = moromi.client.images.list(filters={"dangling": True, "label": "nagoya.system"})
    assert [image.id for image in unnamed if moromi.prefix in str(image.labels)] == []
