"""docs/examples/maven: its commands, on a distribution made of Debian's packages."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nagoya.config.declaration import Declaration
from tests.debian_distribution import cache
from tests.system import distributions
from tests.system.conftest import Koji
from tests.system.test_plugins import copied

PLACES = {
    "https://packages.example.com/distribution": distributions.REPOSITORY,
    "https://packages.example.com/maven": "https://koji/kojifiles/maven",
}
"""What the hub serves in place of a real distribution's addresses."""

ARCHIVES = {"greeter-1.0.jar", "greeter-1.0.pom", "greeter-1.0-scm-sources.zip"}


@pytest.mark.long
def test_maven_builds(
    checkout: Path, start: Callable[..., Koji], declaration: Declaration, tmp_path: Path
) -> None:
    """A project, another that needs it, and an RPM with the second one's archives."""
    folder = copied(checkout, "maven", declaration, tmp_path)
    person = start("maven", config=folder / "moromi.yml")
    distributions.serve(person, declaration, "short")
    repository = cache.maven(declaration.containers["kojibuilder"].image)
    distributions.put(person, "/mnt/koji/maven/x86_64", repository)
    seed = folder / "java.yml"
    text = seed.read_text()
    for address, place in PLACES.items():
        text = text.replace(address, place)
    seed.write_text(text)

    blocks = re.findall(r"^```sh\n(.*?)^```", (folder / "README.md").read_text(), re.M | re.S)
    assert len(blocks) == 5
    script = "\n".join(blocks).replace("nagoya-koji", f"nagoya-{person.system}")
    person.environment["NAGOYA_SYSTEM"] = person.system
    run = person.run("bash", "-euxc", f"cd {folder}\n{script}", check=False)
    tasks = re.findall(r"Created task: (\d+)", run.stdout)
    logs = person.toji("logs", "--task", tasks[-1], check=False).stdout if tasks else ""
    assert run.status == 0, run.stdout + run.stderr + logs

    session = person.session()
    build = session.getBuild("com.example-greeter-1.0-1", strict=True)
    assert {each["nvr"] for each in session.listTagged("java")} == {
        "com.example-greeting-1.0-1", build["nvr"],
    }  # fmt: skip
    archives = session.listArchives(buildID=build["id"], type="maven")
    assert {archive["filename"] for archive in archives} == ARCHIVES
    rpms = {f"{rpm['nvr']}.{rpm['arch']}" for rpm in session.listBuildRPMs(build["id"])}
    assert rpms == {"greeter-1.0-1.src", "greeter-1.0-1.noarch"}
    assert components(session, build["task_id"]) == {"greeting-1.0.jar", "greeting-1.0.pom"}


def components(session: Any, task: int) -> set[str]:
    """The archives that a Maven build was made from, as Koji has recorded them."""
    (subtask,) = (each for each in session.getTaskChildren(task) if each["method"] == "buildMaven")
    (buildroot,) = session.listBuildroots(taskID=subtask["id"])
    listed = session.listArchives(componentBuildrootID=buildroot["id"])
    return {archive["filename"] for archive in listed}
