"""A system that is used is saved to a file, and restored: elsewhere, over itself, or not at all."""

import shutil
import signal
import stat
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from nagoya.engine import connect, containers
from tests.system.building import sources, state, uploaded
from tests.system.conftest import PROGRAMS, Koji

TAGGED = ["hello-1.0-1.demo"]
POLICY = """
type: policy
name: vm
rules: ["all :: deny kept"]
"""


@dataclass(frozen=True)
class Saved:
    """A system, its backup, and a build that ran when that was made."""

    koji: Koji
    file: Path
    task: int


@pytest.fixture(scope="module")
def saved(start: Callable[..., Koji], tmp_path_factory: pytest.TempPathFactory) -> Saved:
    folder = tmp_path_factory.mktemp("backup")
    koji = start("backup")
    koji.toji("verify")
    koji.toji("user", "alice", "--permission", "repo")
    (folder / "policy.yml").write_text(POLICY)
    koji.toji("seed", str(folder / "policy.yml"))
    koji.toji("wait")
    session = koji.session()
    session.tagBuild("demo", TAGGED[0])
    source = uploaded(session, sources(koji, "hello-c"), folder)
    task = session.build(source, "demo", {"scratch": True})
    file = folder / "koji.tar"
    koji.toji("backup", str(file))
    return Saved(koji, file, task)


@pytest.fixture(scope="module")
def restored(saved: Saved) -> Iterator[Koji]:
    """The same on this machine, under another name."""
    other = replace(saved.koji, system=f"{saved.koji.system}-2")
    try:
        other.toji("restore", str(saved.file))
        yield other
    finally:
        other.toji("remove")


def tagged(session: Any) -> list[str]:
    return [build["nvr"] for build in session.listTagged("demo")]


def ids(koji: Koji) -> dict[str, str]:
    """The engine's containers of a system."""
    present = containers.list_containers(connect(), koji.system)
    return {name: containers.inspect(handle)["Id"] for name, handle in present.items()}


def event(koji: Koji) -> int:
    return int(koji.session().getLastEvent()["id"])


def test_only_its_owner_can_read_the_file(saved: Saved) -> None:
    assert stat.S_IMODE(saved.file.stat().st_mode) == 0o600
    assert "exists already" in saved.koji.toji("backup", str(saved.file), check=False).stderr


def test_the_running_build_goes_on(saved: Saved) -> None:
    assert state(saved.koji.session(), saved.task) == "CLOSED"


def test_a_restored_system_has_all_data_and_builds_on(saved: Saved, restored: Koji) -> None:
    session = restored.session()
    assert tagged(session) == TAGGED
    # What ran at the time of the backup begins again.
    assert state(session, saved.task) == "CLOSED"
    assert "hello-1.0-1.demo.noarch" in restored.toji("verify").stdout


def test_a_restored_hub_has_the_policies(restored: Koji) -> None:
    seeded = restored.toji("exec", "koji", "cat", "/etc/koji-hub/hub.conf.d/50-seed.conf").stdout
    assert "all :: deny kept" in seeded


def test_users_and_builders_keep_their_certificates(saved: Saved, restored: Koji) -> None:
    folder = saved.koji.home / ".koji/nagoya" / saved.koji.system
    alice = restored.session(certificate=folder / "alice.pem")
    assert alice.getLoggedInUser()["name"] == "alice"
    assert alice.getPerms() == ["repo"]
    assert [host["name"] for host in restored.session().listHosts()] == ["kojibuilder"]


def test_no_snapshot_is_made_of_a_restored_system(restored: Koji) -> None:
    restored.toji("wait")
    assert "pristine" not in restored.toji("snapshot", "list").stdout


@pytest.fixture
def damaged(saved: Saved, tmp_path: Path) -> Callable[[str], Path]:
    """The backup, damaged in some way."""

    def damage(how: str) -> Path:
        path = tmp_path / "damaged.tar"
        shutil.copy(saved.file, path)
        with tarfile.open(path) as archive:
            member = archive.getmember("kojidatabase/koji.dump")
        with path.open("r+b") as file:
            if how == "truncated":
                file.truncate(member.offset_data + member.size // 2)
            else:
                file.seek(member.offset_data + member.size // 2)
                file.write(b"?!")
        path.chmod(0o644 if how == "readable" else 0o600)
        return path

    return damage


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("truncated", "is damaged"),
        ("altered", "is damaged: kojidatabase/koji.dump differs from what was saved"),
        ("readable", "holds keys, and others can read it"),
    ],
)
def test_a_damaged_file_changes_nothing(
    saved: Saved, damaged: Callable[[str], Path], how: str, message: str
) -> None:
    before, last = ids(saved.koji), event(saved.koji)
    refused = saved.koji.toji("restore", "--replace", str(damaged(how)), check=False)
    assert refused.status == 7
    assert message in refused.stderr
    assert (ids(saved.koji), event(saved.koji)) == (before, last)


def test_a_damaged_file_makes_no_system(saved: Saved, damaged: Callable[[str], Path]) -> None:
    other = replace(saved.koji, system=f"{saved.koji.system}-3")
    assert other.toji("restore", str(damaged("altered")), check=False).status == 7
    assert containers.list_containers(connect(), other.system) == {}


@pytest.mark.slow
def test_of_two_restores_at_once_one_is_refused(saved: Saved) -> None:
    other = replace(saved.koji, system=f"{saved.koji.system}-5")
    assert other.config
    system = ("--system", other.system, "-c", other.config)
    command = [PROGRAMS / "toji", *system, "restore", saved.file]
    environment = {"HOME": str(other.home), "DOCKER_HOST": connect().address}
    try:
        both = [
            subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
            for _ in range(2)
        ]
        errors = [process.communicate(timeout=300)[1] for process in both]
        assert sorted(process.returncode for process in both) == [0, 7], errors
        assert any("with --replace" in error for error in errors), errors
        assert tagged(other.session()) == TAGGED
    finally:
        other.toji("remove")


def test_an_existing_system_is_replaced_only_on_demand(saved: Saved) -> None:
    before = ids(saved.koji)
    refused = saved.koji.toji("restore", str(saved.file), check=False)
    assert refused.status == 7
    assert "with --replace" in refused.stderr
    assert ids(saved.koji) == before


@pytest.fixture(scope="module")
def later(saved: Saved) -> str:
    """The name of a tag that was made after the backup."""
    saved.koji.session().createTag("later")
    return "later"


@pytest.mark.slow
def test_what_does_not_become_ready_is_undone(saved: Saved, later: str) -> None:
    before = ids(saved.koji)
    failed = saved.koji.toji(
        "restore", "--replace", "--timeout", "0.1", str(saved.file), check=False
    )
    assert failed.status == 8
    assert ids(saved.koji) == before
    saved.koji.toji("wait")
    assert saved.koji.session().getTag(later)


@pytest.mark.slow
def test_a_restore_that_is_killed_is_undone_by_up(saved: Saved, later: str) -> None:
    before = ids(saved.koji)
    process = subprocess.Popen(
        [PROGRAMS / "toji", "--system", saved.koji.system, "restore", "--replace", saved.file],
        env={"HOME": str(saved.koji.home), "DOCKER_HOST": connect().address},
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr
    for line in process.stderr:
        if "kojidatabase" in line and line.rstrip().endswith("started"):
            break
    process.send_signal(signal.SIGKILL)
    process.wait()
    # As one that was cut off before it started its program.
    client, system = connect().client, saved.koji.system
    image = containers.inspect(containers.list_containers(connect(), system)["koji"])["Image"]
    client.containers.create(
        image, name=f"{system}-swap-left", labels={"nagoya.system": system, "nagoya.container": ""}
    )
    refused = saved.koji.toji("stop", check=False)
    assert "was interrupted" in refused.stderr
    saved.koji.toji("up")
    assert ids(saved.koji) == before
    assert not client.containers.list(all=True, filters={"name": f"{system}-swap-left"})
    assert saved.koji.session().getTag(later)


@pytest.mark.slow
def test_a_system_is_replaced(saved: Saved, later: str) -> None:
    saved.koji.toji("restore", "--replace", str(saved.file))
    session = saved.koji.session()
    assert tagged(session) == TAGGED
    assert session.getTag(later) is None
    assert state(session, saved.task) == "CLOSED"


@pytest.mark.slow
def test_a_lost_database_is_restored(saved: Saved, tmp_path: Path) -> None:
    """From the backup of a system that was restored itself."""
    again = tmp_path / "again.tar"
    saved.koji.toji("backup", str(again))
    containers.remove(containers.get(connect(), f"{saved.koji.system}-kojidatabase"))
    refused = saved.koji.toji("backup", str(tmp_path / "less.tar"), check=False)
    assert refused.status == 7
    assert "has lost its container kojidatabase, and what was in it" in refused.stderr
    assert not (tmp_path / "less.tar").exists()
    started = saved.koji.toji("up").stderr
    assert "the container 'kojidatabase' is gone, and its data with it" in started
    assert saved.koji.session().getTag("demo") is None
    saved.koji.toji("restore", "--replace", str(again))
    assert tagged(saved.koji.session()) == TAGGED


@pytest.mark.slow
def test_without_credentials_a_system_makes_its_own(saved: Saved, tmp_path: Path) -> None:
    file = tmp_path / "koji.tar"
    saved.koji.toji("backup", "--without-credentials", str(file))
    with tarfile.open(file) as archive:
        assert not [name for name in archive.getnames() if name.endswith((".pem", ".key"))]
    file.chmod(0o644)
    other = replace(saved.koji, system=f"{saved.koji.system}-4")
    try:
        other.toji("restore", str(file))
        assert tagged(other.session()) == TAGGED
        ca = saved.koji.home / ".koji/nagoya" / saved.koji.system / "koji_ca_cert.crt"
        assert Path(other.description["ca"]).read_bytes() != ca.read_bytes()
    finally:
        other.toji("remove")
