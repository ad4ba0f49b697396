"""The wheel, as somebody has it who writes tools against Koji: in an environment of its own, used
from an empty folder."""

import json
import shutil
import subprocess
import sys
import sysconfig
import tarfile
from pathlib import Path

import pytest

from nagoya import __version__
from nagoya.utils.lock import cache_folder
from tests.system.conftest import Koji

DIGESTS = """
import json
from pathlib import Path
from nagoya.config import loader
from nagoya.build.steps import build_graph
from nagoya.build.context import Context
declared = loader.read(loader.locate(None))
print(json.dumps({
    name: Context(declared.contexts[name], step.file, declared.source_dirs).digests()
    for name, step in build_graph(declared).steps.items() if step.file
}))
"""

# What docs/testing.md shows, with a second user and the client's own program.
TEST = """
import subprocess

def test_a_tag(running_koji):
    running_koji.session("alice")
    running_koji.session().createTag("mine")
    assert running_koji.session(None).getTag("mine")["name"] == "mine"

def test_the_client(running_koji):
    options = ["--config", running_koji.profile_file, "-p", running_koji.profile]
    options += ["--cert", running_koji.certificate("bob")]
    answer = subprocess.run(["koji", *options, "hello"], stdout=subprocess.PIPE, text=True)
    assert ", bob!" in answer.stdout
"""


@pytest.fixture(scope="module")
def programs(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an environment with the built wheel in it, and the libraries of this one."""
    folder = tmp_path_factory.mktemp("installed")
    # A build leaves files beside the sources.
    tracked = subprocess.run(
        ["git", "ls-files", "-z"], cwd=checkout, check=True, stdout=subprocess.PIPE, text=True
    ).stdout
    for name in tracked.strip("\0").split("\0"):
        (folder / "copy" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(checkout / name, folder / "copy" / name)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    environment = folder / "venv"
    for command in (
        [*pip, "wheel", "--no-deps", "--wheel-dir", folder, folder / "copy"],
        [sys.executable, "-m", "venv", "--without-pip", environment],
        [
            *(*pip, "--python", environment / "bin/python", "install", "--no-deps"),
            folder / f"nagoya-{__version__}-py3-none-any.whl",
        ],
    ):
        subprocess.run(command, check=True)
    (packages,) = environment.glob("lib/python*/site-packages")
    (packages / "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return environment / "bin"


@pytest.fixture
def person(programs: Path, tmp_path: Path) -> Koji:
    """Somebody in an empty folder."""
    path = f"{programs}:{Path(sys.executable).parent}:/usr/bin:/bin"
    cache = str(cache_folder().parent)
    return Koji("", tmp_path, environment={"PATH": path, "XDG_CACHE_HOME": cache})


def in_folder(person: Koji, command: str, *, check: bool = True) -> str:
    """Run a command there; what it prints."""
    run = person.run("bash", "-ec", f"cd {person.home}; {command}", check=check)
    return run.stdout + run.stderr


def test_its_images_are_those_of_the_checkout(person: Koji, programs: Path, checkout: Path) -> None:
    where = in_folder(person, "python -c 'import nagoya; print(nagoya.__file__)'")
    assert where.startswith(str(programs.parent))
    (person.home / "digests.py").write_text(DIGESTS)
    in_folder(person, "moromi fetch")
    installed = json.loads(in_folder(person, "python digests.py"))
    person.run("moromi", "-c", str(checkout / "moromi.yml"), "fetch")
    answer = person.run(sys.executable, "-c", f"import os; os.chdir({str(checkout)!r}){DIGESTS}")
    assert installed == json.loads(answer.stdout)


def test_the_demo_is_reached_by_its_name(person: Koji) -> None:
    output = json.loads(in_folder(person, "moromi -c nagoya-demo plan --json"))
    assert "koji-hub-demo" in output["produces"]["demo"]
    (person.home / "moromi.yml").write_text("extends: nagoya-demo\n")
    assert json.loads(in_folder(person, "moromi plan --json")) == output


def test_a_test_in_an_empty_folder_has_a_koji_of_its_own(person: Koji) -> None:
    (person.home / "test_tool.py").write_text(TEST)
    output = in_folder(person, "python -m pytest -n 2")
    assert "2 passed" in output
    assert "2 workers" in output
    assert "pytest-" not in in_folder(person, "toji list")
    assert not (person.home / ".koji").exists()


def test_a_failure_leaves_a_report_and_on_demand_the_koji(person: Koji) -> None:
    (person.home / "test_tool.py").write_text("def test_it(running_koji): assert False\n")
    output = in_folder(person, "python -m pytest --koji-keep --koji-prefix=left", check=False)
    assert "1 failed" in output
    (report,) = (line for line in output.splitlines() if line.startswith("report: "))
    with tarfile.open(report.removeprefix("report: ")) as archive:
        names = {Path(name).name for name in archive.getnames()}
    assert {"koji.log", "kojibuilder.log", "hub.json", "moromi.yml"} <= names
    (entry,) = (
        entry for entry in json.loads(in_folder(person, "toji list --json"))["systems"]
        if entry["system"].startswith("left-")
    )  # fmt: skip
    assert entry["stale"]
    assert f"{entry['system']} is still there" in output
    in_folder(person, f"toji --system {entry['system']} wait")
    assert f"removed {entry['system']}" in in_folder(person, "toji remove --stale")
