"""A system of the pinned Koji moves, with its data, to the images of the Koji under test.

`make test-koji` has the images of another Koji; without it the two are the same, under other names.
"""

import json
import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from nagoya.config.declaration import Declaration
from nagoya.engine import connect, containers
from nagoya.utils.lock import private_folder
from tests.system.conftest import PROGRAMS, Koji

BUILT = "hello-1.0-1.demo"
# The tasks of kojira, which none of a trial's are.
BY_ITSELF = {"newRepo", "createrepo"}


@dataclass(frozen=True)
class Old:
    """A used system of the pinned Koji, its backup, and itself as seen with the new images."""

    koji: Koji
    file: Path
    new: Koji


@pytest.fixture(scope="module")
def old(
    start: Callable[..., Koji],
    checkout: Path,
    declaration: Declaration,
    tmp_path_factory: pytest.TempPathFactory,
) -> Old:
    pinned = checkout / "moromi.yml"
    folder = tmp_path_factory.mktemp("upgrade")
    new = declaration.path
    if new == pinned:
        new = folder / "moromi.yml"
        new.write_text(f"extends: {pinned}\ntag: upgrade\n")
    for config in (pinned, new):
        subprocess.run([PROGRAMS / "moromi", "-c", config, "build"], cwd=checkout, check=True)
    koji = start("upgrade", config=pinned)
    koji.toji("verify")
    koji.session().tagBuild("demo", BUILT)
    file = folder / "koji.tar"
    koji.toji("backup", str(file))
    return Old(koji, file, replace(koji, config=new))


def ids(koji: Koji) -> dict[str, str]:
    present = containers.list_containers(connect(), koji.system)
    return {name: containers.inspect(handle)["Id"] for name, handle in present.items()}


def last_task(koji: Koji) -> int:
    return int(koji.session().listTasks(queryOpts={"order": "-id", "limit": 1})[0]["id"])


def later_methods(koji: Koji, task: int) -> set[str]:
    """The methods of the tasks that came after one."""
    session = koji.session()
    return {
        session.getTaskInfo(number)["method"] for number in range(task + 1, last_task(koji) + 1)
    }


def start_upgrade(old: Old, *backup: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [
            PROGRAMS / "toji",
            "--system",
            old.new.system,
            "-c",
            str(old.new.config),
            "upgrade",
            *backup,
        ],
        env={**os.environ, "HOME": str(old.new.home), "DOCKER_HOST": connect().address},
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.slow
def test_an_upgrade_that_fails_changes_nothing(old: Old) -> None:
    before, task = ids(old.koji), last_task(old.koji)
    failed = old.new.toji("upgrade", "--no-backup", "--timeout", "0.1", check=False)
    assert failed.status == 8
    assert ids(old.koji) == before
    old.koji.toji("wait")
    assert later_methods(old.koji, task) <= BY_ITSELF
    assert "pristine" in old.koji.toji("snapshot", "list").stdout


@pytest.mark.slow
def test_an_upgrade_that_is_killed_is_undone_by_up(old: Old) -> None:
    before, task, system = ids(old.koji), last_task(old.koji), old.koji.system
    profile = old.koji.home / f".koji/config.d/nagoya-{system}.conf"
    saved = profile.read_text()
    process = start_upgrade(old, "--no-backup")
    assert process.stderr
    for line in process.stderr:
        if "log in" in line:  # verify works on the trial
            break
    process.kill()
    process.wait()
    nameless = replace(old.koji, config=None)
    status = json.loads(nameless.toji("status", "--json").stdout)
    assert (status["ready"], status["file"]) == (False, str(old.koji.config))
    assert "whose trial has ports of its own" in status["conflicts"][0]
    assert "`toji --system" in status["conflicts"][0]
    listed = nameless.toji("snapshot", "list", check=False)
    assert (listed.status, "was interrupted" in listed.stderr) == (7, True)
    nameless.toji("up")
    assert ids(old.koji) == before
    assert profile.read_text() == saved
    assert not (private_folder() / f"trial-{system}").exists()
    status = json.loads(nameless.toji("status", "--json").stdout)
    assert (status["ready"], status["file"]) == (True, str(old.koji.config))
    assert later_methods(old.koji, task) <= BY_ITSELF
    assert "pristine" in old.koji.toji("snapshot", "list").stdout


@pytest.mark.slow
def test_of_two_upgrades_one_keeps_all_data_and_nothing_of_its_trial(
    old: Old, tmp_path: Path
) -> None:
    task, url = last_task(old.koji), old.koji.description["urls"]["hub"]
    file = tmp_path / "before.tar"
    both = [start_upgrade(old, "--backup", str(file)), start_upgrade(old, "--no-backup")]
    messages = [process.communicate()[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], messages
    assert file.is_file()
    # One waits for the other.
    assert sum("nothing to upgrade" in each for each in messages) == 1
    (done,) = (each for each in messages if "the trial has passed" in each)
    assert "deleted the snapshots pristine" in done
    session = old.new.session()
    assert [build["nvr"] for build in session.listTagged("demo")] == [BUILT]
    assert later_methods(old.new, task) <= BY_ITSELF
    assert old.new.description["urls"]["hub"] == url
    before = ids(old.new)
    assert "nothing to upgrade" in old.new.toji("upgrade", "--no-backup").stderr
    assert ids(old.new) == before
    assert BUILT in old.new.toji("verify").stdout


@pytest.mark.slow
def test_a_backup_is_restored_into_the_new_images(old: Old) -> None:
    other = replace(old.new, system=f"{old.koji.system}-2")
    try:
        other.toji("restore", str(old.file))
        assert [build["nvr"] for build in other.session().listTagged("demo")] == [BUILT]
        assert BUILT in other.toji("verify").stdout
    finally:
        other.toji("remove")
