"""docs/examples/plugins and messaging with the Koji under test."""

import json
import shutil
from pathlib import Path

import koji

from nagoya.config.declaration import Declaration
from tests.system.test_examples import example


def copied(checkout: Path, name: str, declaration: Declaration, to: Path) -> Path:
    """A copy of an example, which extends the Koji under test."""
    folder = shutil.copytree(checkout / "docs/examples" / name, to / "docs" / name)
    config = folder / "moromi.yml"
    config.write_text(
        config.read_text().replace("extends: nagoya\n", f"extends: {declaration.path}\n")
    )
    return folder


def test_plugins(checkout: Path, declaration: Declaration, tmp_path: Path) -> None:
    """runroot, save-failed-tree and sidetags."""
    folder = copied(checkout, "plugins", declaration, tmp_path)
    with example(folder, tmp_path) as (person, run):
        assert "Free Software Foundation" in run.stdout
        session = person.session()
        (sidetag,) = (tag for tag in session.listTags() if "-side-" in tag["name"])
        built = {"method": "buildArch", "state": [koji.TASK_STATES["CLOSED"]]}
        (last,) = session.listTasks(built, {"order": "-id", "limit": 1})
        (buildroot,) = session.listBuildroots(taskID=last["id"])
        assert buildroot["tag_name"] == sidetag["name"]
        (save,) = session.listTasks({"method": "saveFailedTree"}, {"limit": 2})
        assert save["state"] == koji.TASK_STATES["CLOSED"]
        (archive,) = session.listTaskOutput(save["id"])
        assert archive.endswith(".tar.gz")


def test_messages(checkout: Path, declaration: Declaration, tmp_path: Path) -> None:
    """protonmsg and a real broker."""
    folder = copied(checkout, "messaging", declaration, tmp_path)
    with example(folder, tmp_path) as (person, run):
        messages = [json.loads(line) for line in run.stdout.splitlines() if line.startswith("{")]
        (added,) = (message for message in messages if message["type"] == "PackageListChange")
        assert (added["action"], added["tag"], added["package"]) == ("add", "candidate", "hello")

        session = person.session()
        session.createEmptyBuild("hello", "1", "1", None)
        session.tagBuildBypass("candidate", "hello-1-1")
        lines = person.toji("exec", "broker", "receive.py").stdout.splitlines()
        messages = [json.loads(line) for line in lines]
        (tagged,) = (message for message in messages if message["type"] == "Tag")
        assert (tagged["tag"], tagged["name"], tagged["user"]) == (
            "candidate", "hello", "kojiadmin",
        )  # fmt: skip

        # What could not be sent is sent later.
        person.run("docker", "stop", f"{person.system}-broker")
        session.untagBuildBypass("candidate", "hello-1-1")
        person.run("docker", "start", f"{person.system}-broker")
        person.toji("wait")
        session.packageListAdd("candidate", "later", "kojiadmin")
        received = person.toji("exec", "broker", "receive.py").stdout
        assert '"type": "Untag"' in received
    tag = declaration.tag
    person.run("docker", "rmi", f"messaging-hub:{tag}", f"broker:{tag}", check=False)
