"""docs/examples/fedora-messaging with the Koji under test.

The plugin comes from GitHub, or from the source tree that KOJI_FEDORAMESSAGING names.
"""

import json
import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from nagoya.config.declaration import Declaration
from nagoya.koji.builds import wait_for_repo
from tests.system.building import hub_of, sources
from tests.system.test_examples import example
from tests.system.test_plugins import copied

pytestmark = pytest.mark.long

TOPICS = "org.example.buildsys"
SCHEMAS = "koji_fedoramessaging"


def test_messages(
    checkout: Path, declaration: Declaration, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Where `sources` looks for the system's profile too.
    monkeypatch.setenv("HOME", str(tmp_path))
    folder = copied(checkout, "fedora-messaging", declaration, tmp_path)
    if tree := os.environ.get("KOJI_FEDORAMESSAGING"):
        config = folder / "moromi.yml"
        raw = yaml.safe_load(config.read_text())
        raw["sources"]["koji-fedoramessaging"] = {"path": tree}
        config.write_text(yaml.safe_dump(raw))
    with example(folder, tmp_path) as (person, run):
        (added,) = messages(run.stdout)
        assert (added["topic"], added["schema"]) == (
            f"{TOPICS}.package.list.change", f"{SCHEMAS}.package.ListChangeV1",
        )  # fmt: skip
        body = added["body"]
        assert (body["action"], body["tag"], body["package"]) == ("add", "candidate", "hello")

        person.toji("seed", str(checkout / "demo/seed.yml"))
        wait_for_repo(hub_of(person), "demo-build")
        person.client("build", "--wait", "demo", sources(person, "hello").git)
        received = messages(person.toji("exec", "broker", "receive.py").stdout)
        # One that its schema refuses is sent without.
        assert all(message["schema"].startswith(f"{SCHEMAS}.") for message in received)
        about = {
            topic: [
                message["body"]
                for message in received
                if message["topic"] == f"{TOPICS}.{topic}"
                and message["body"].get("name") in (None, "hello")
            ]
            for topic in ("build.state.change", "tag", "repo.init", "repo.done")
        }
        started, built = about["build.state.change"]
        assert [(body["old"], body["new"]) for body in (started, built)] == [(None, 0), (0, 1)]
        web, _, _ = person.description["urls"]["hub"].rpartition("/kojihub")
        assert built["url"] == f"{web}/koji/buildinfo?buildID={built['build_id']}"
        assert built["files_base_url"] == f"{web}/kojifiles/work"
        assert {child["method"] for child in built["task"]["children"]} >= {
            "buildSRPMFromSCM", "buildArch",
        }  # fmt: skip
        (tagged,) = about["tag"]
        assert (tagged["tag"], tagged["user"]) == ("demo-candidate", "kojiadmin")
        assert about["repo.init"][0]["tag"] == about["repo.done"][0]["tag"] == "demo-build"

        # What cannot be sent is lost, and nothing else.
        person.run("docker", "stop", f"{person.system}-broker")
        person.session().untagBuildBypass("demo-candidate", built["build_id"])
        person.run("docker", "start", f"{person.system}-broker")
        person.run("docker", "restart", f"{person.system}-koji")
        person.toji("wait")
        person.session().packageListAdd("candidate", "later", "kojiadmin")
        (later,) = messages(person.toji("exec", "broker", "receive.py").stdout)
        assert later["body"]["package"] == "later"
    images = [f"{name}:{declaration.tag}" for name in ("fedora-messaging-hub", "rabbitmq")]
    person.run("docker", "rmi", *images, check=False)


def messages(output: str) -> list[dict[str, Any]]:
    """What receive.py has printed."""
    return [json.loads(line) for line in output.splitlines() if line.startswith("{")]
