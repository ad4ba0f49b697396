"""A whole Koji that is kept and gone back to, while it is used."""

import hashlib
import json
import os
import secrets
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import koji
import pytest
import requests

from nagoya.testing.instance import Koji as OwnKoji
from tests.image.tracked import wait_until
from tests.system.building import child, sources, state, uploaded
from tests.system.conftest import PROGRAMS, Koji
from tests.system.test_builds import sleeping


@pytest.fixture(scope="module")
def site(start: Callable[..., Koji]) -> Koji:
    """A Koji with two states to go back to: the pristine, and `proved`, where hello was built and
    `slow` takes 15 seconds."""
    site = start("states")
    site.toji("verify")
    site.session().editTag2("demo-build", extra={"rpm.macro.seconds": "15"})
    # A build takes its macros from the moment that its repository is of.
    site.client("regen-repo", "--wait", "demo-build")
    site.toji("snapshot", "create", "proved")
    return site


@pytest.fixture
def proved(site: Koji) -> Iterator[Koji]:
    """The same, in its state `proved`."""
    site.toji("reset", "proved")
    yield site


def tags(site: Koji) -> set[str]:
    return {tag["name"] for tag in site.session(login=False).listTags()}


def test_pristine_is_what_it_was_after_the_first_wait(proved: Koji) -> None:
    before = proved.description
    session = proved.session()
    proved.toji("reset")
    assert proved.description == before
    assert tags(proved) == set()
    assert session.listBuilds() == []
    assert session.listTasks() == []
    assert [host["name"] for host in session.listHosts(enabled=True, ready=True)] == ["kojibuilder"]
    listing = proved.toji("exec", "koji", "find", "/mnt/koji", "-type", "f", "-not", "-path",
                          "*/.snapshots/*").stdout  # fmt: skip
    assert listing.split() == ["/mnt/koji/.complete"]
    # Who was logged in stays so, and goes on at once.
    assert session.getLoggedInUser()["name"] == "kojiadmin"
    session.createTag("after")


def test_it_builds_in_every_state(proved: Koji) -> None:
    session = proved.session()
    for _ in range(2):
        task = session.build(sources(proved, "greeting").git, "demo")
        assert state(session, task) == "CLOSED"
        assert session.getBuild("greeting-1.0-1.demo") is not None
        proved.toji("reset", "proved")
        assert session.getBuild("greeting-1.0-1.demo") is None
    proved.toji("reset")
    proved.toji("verify")


def test_what_was_built_before_is_there_and_whole(proved: Koji) -> None:
    description = proved.description
    name = "hello/1.0/1.demo/noarch/hello-1.0-1.demo.noarch.rpm"
    url = f"{description['urls']['files']}/packages/{name}"
    before = requests.get(url, verify=description["ca"], timeout=30).content
    path = "/mnt/koji/packages/hello/1.0/1.demo/noarch/hello-1.0-1.demo.noarch.rpm"
    proved.toji("exec", "koji", "dd", "if=/dev/zero", f"of={path}", "bs=64", "count=1",
                "conv=notrunc")  # fmt: skip
    assert requests.get(url, verify=description["ca"], timeout=30).content != before
    proved.toji("reset", "proved")
    assert requests.get(url, verify=description["ca"], timeout=30).content == before
    proved.toji("exec", "koji", "rm", "-r", "/mnt/koji/packages")
    proved.toji("reset", "proved")
    assert requests.get(url, verify=description["ca"], timeout=30).content == before


def test_nobody_reads_what_is_kept(proved: Koji) -> None:
    description = proved.description
    url = f"{description['urls']['files']}/.snapshots/"
    assert requests.get(url, verify=description["ca"], timeout=30).status_code == 403
    listing = requests.get(
        description["urls"]["files"] + "/", verify=description["ca"], timeout=30
    ).text
    assert "packages" in listing
    assert ".snapshots" not in listing


@pytest.mark.slow
def test_work_that_is_under_way_ends(proved: Koji, tmp_path: Path) -> None:
    """The numbers of its task and buildroot come again; whatever is left of it would be in the
    way of those."""
    session = proved.session()
    slow = sources(proved, "slow")
    task = session.build(uploaded(session, slow, tmp_path), "demo")
    wait_until(lambda: sleeping(proved), 120, "the package sleeps")
    proved.toji("reset", "proved")
    assert session.getTaskInfo(task) is None
    assert not sleeping(proved)
    listing = proved.toji(
        "exec", "kojibuilder", "ls", "-A", "/var/lib/mock", "/etc/mock/koji"
    ).stdout
    assert listing.split() == ["/etc/mock/koji:", "/var/lib/mock:"]
    again = session.build(sources(proved, "greeting").git, "demo")
    assert again == task
    assert state(session, again) == "CLOSED"


@pytest.mark.slow
def test_work_that_was_under_way_in_a_snapshot_begins_anew(proved: Koji, tmp_path: Path) -> None:
    session = proved.session()
    task = session.build(uploaded(session, sources(proved, "slow"), tmp_path), "demo")
    wait_until(lambda: sleeping(proved), 120, "the package sleeps")
    proved.toji("snapshot", "create", "under-way")
    session.cancelTask(task)
    assert state(session, task) == "CANCELED"
    proved.toji("reset", "under-way")
    assert state(session, task, 600) == "CLOSED"
    assert session.getBuild("slow-1.0-1.demo")["state"] == koji.BUILD_STATES["COMPLETE"]
    proved.toji("snapshot", "delete", "under-way")


@pytest.mark.slow
def test_builders_and_users_that_a_state_does_not_know(proved: Koji) -> None:
    proved.toji("scale", "kojibuilder=2")
    proved.toji("user", "alice")
    certificate = Path(proved.description["certificate"]).with_name("alice.pem")
    alice = proved.session(certificate=certificate)
    proved.toji("reset", "proved")
    # The second builder is a host again, in the state that never had it.
    hosts = proved.session().listHosts(enabled=True, ready=True)
    assert {host["name"] for host in hosts} == {"kojibuilder", "kojibuilder-2"}
    with pytest.raises(koji.AuthError):
        alice.getLoggedInUser()
    proved.toji("user", "alice")
    assert proved.session(certificate=certificate).getLoggedInUser()["name"] == "alice"

    proved.toji("snapshot", "create", "two")
    proved.toji("scale", "kojibuilder=1")
    proved.toji("reset", "two")
    ready = proved.session().listHosts(enabled=True, ready=True)
    assert [host["name"] for host in ready] == ["kojibuilder"]
    proved.toji("snapshot", "delete", "two")


@pytest.mark.slow
def test_numbers_that_mean_somebody_else_in_another_state(proved: Koji) -> None:
    """In one state alice has the number that a builder has in the other, and both go on."""
    proved.toji("user", "alice")
    proved.toji("scale", "kojibuilder=2")
    proved.toji("wait")
    proved.toji("snapshot", "create", "alice-first")
    numbers = [proved.session().getUser(name)["id"] for name in ("alice", "kojibuilder-2")]
    assert numbers[0] < numbers[1]
    proved.toji("reset", "proved")
    assert proved.session().getUser("kojibuilder-2")["id"] == numbers[0]
    certificate = Path(proved.description["certificate"]).with_name("alice.pem")
    proved.toji("user", "alice")
    alice = proved.session(certificate=certificate)
    proved.toji("reset", "alice-first")
    description = alice.getLoggedInUser()
    assert (description["id"], description["name"]) == (numbers[0], "alice")
    hosts = proved.session().listHosts(enabled=True, ready=True)
    assert {host["name"] for host in hosts} == {"kojibuilder", "kojibuilder-2"}
    proved.toji("wait", "--timeout", "30")
    # A build takes both, if only one may.
    for name in ("kojibuilder", "kojibuilder-2"):
        proved.session().disableHost(name)
        task = proved.session().build(sources(proved, "greeting").git, "demo", {"scratch": True})
        assert state(proved.session(), task) == "CLOSED"
        proved.session().enableHost(name)
    proved.toji("scale", "kojibuilder=1")
    proved.toji("snapshot", "delete", "alice-first")


def test_a_builder_that_somebody_disabled_stays_so(proved: Koji) -> None:
    proved.session().disableHost("kojibuilder")
    proved.toji("snapshot", "create", "disabled")
    proved.session().enableHost("kojibuilder")
    proved.toji("reset", "disabled")
    assert not proved.session().getHost("kojibuilder")["enabled"]
    proved.toji("reset", "proved")
    assert proved.session().getHost("kojibuilder")["enabled"]
    proved.toji("snapshot", "delete", "disabled")


@pytest.mark.slow
def test_work_of_a_builder_that_is_gone_is_for_others(proved: Koji, tmp_path: Path) -> None:
    proved.toji("scale", "kojibuilder=2")
    proved.toji("wait")
    session = proved.session()
    session.disableHost("kojibuilder")
    task = session.build(uploaded(session, sources(proved, "slow"), tmp_path), "demo")
    wait_until(lambda: sleeping(proved, "kojibuilder-2"), 120, "the package sleeps")
    session.enableHost("kojibuilder")
    proved.toji("snapshot", "create", "second-at-work")
    session.cancelTask(task)
    proved.toji("scale", "kojibuilder=1")
    proved.toji("reset", "second-at-work")
    assert state(session, task, 600) == "CLOSED"
    subtask = child(session, task, "buildArch")
    assert subtask["host_id"] == session.getHost("kojibuilder")["id"]
    proved.toji("snapshot", "delete", "second-at-work")


@pytest.mark.slow
def test_two_people_at_once(proved: Koji, tmp_path: Path) -> None:
    """Of two users, who know nothing of each other's locks, one comes after the other."""
    command = [PROGRAMS / "toji", "--system", proved.system]
    started = [
        subprocess.Popen(
            [*command, *words],
            env={**os.environ, "HOME": str(proved.home), "XDG_CACHE_HOME": str(tmp_path / who)},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )
        for who, words in (("one", ["reset", "proved"]), ("two", ["snapshot", "create", "other"]),
                           ("three", ["reset", "proved"]))
    ]  # fmt: skip
    description = [process.communicate(timeout=200)[0] for process in started]
    assert [process.returncode for process in started] == [0, 0, 0], description
    assert proved.session().getBuild("hello-1.0-1.demo") is not None
    path = "/mnt/koji/packages/hello/1.0/1.demo/noarch/hello-1.0-1.demo.noarch.rpm"
    for name in ("other", "proved"):
        proved.toji("reset", name)
        proved.toji("exec", "koji", "test", "-e", path)
    proved.toji("snapshot", "delete", "other")


def test_the_hubs_configuration_is_part_of_the_state(proved: Koji, tmp_path: Path) -> None:
    seed = tmp_path / "seed.yml"
    seed.write_text(
        "type: policy\nname: package_list\nrules: ['all :: deny nobody adds packages']\n"
    )
    proved.toji("seed", str(seed))
    session = proved.session()
    with pytest.raises(koji.ActionNotAllowed, match="nobody adds packages"):
        session.packageListAdd("demo", "another", "kojiadmin")
    url = proved.description["urls"]["hub"]
    proved.toji("reset", "proved")
    assert proved.description["urls"]["hub"] == url
    proved.session().packageListAdd("demo", "another", "kojiadmin")


@pytest.mark.slow
@pytest.mark.parametrize("stopped", [False, True])
def test_a_reset_brings_back_a_hub_that_its_configuration_broke(
    proved: Koji, stopped: bool
) -> None:
    broken = "printf '[policy]\\ntag = xx :: allow\\n' >/etc/koji-hub/hub.conf.d/broken.conf"
    proved.toji("exec", "koji", "sh", "-c", broken)
    proved.run("docker", "restart", f"{proved.system}-koji")
    waited = proved.toji("wait", "--timeout", "5", check=False)
    assert (waited.status, "koji (running)" in waited.stderr) == (8, True)
    if stopped:
        proved.toji("stop")
    proved.toji("reset", "proved", "--timeout", "120")
    proved.toji("wait", "--timeout", "30")
    proved.session().createTag("made")


def test_a_status_shows_what_the_hub_is_at(proved: Koji) -> None:
    task = proved.session().makeTask("sleep", [60])
    impossible = proved.session().makeTask("sleep", [60], arch="x86_64_v2")
    watch = proved.run("timeout", "--signal=INT", "20", str(PROGRAMS / "toji"), "--system",
                       proved.system, "status", "--watch", "--json", check=False)  # fmt: skip
    description = [json.loads(line) for line in watch.stdout.splitlines()]
    assert description[-1]["ready"]
    assert description[-1]["profile"] == f"nagoya-{proved.system}"
    assert [host["name"] for host in description[-1]["activity"]["hosts"]] == ["kojibuilder"]
    tasks = {entry["id"]: entry for each in description for entry in each["activity"]["tasks"]}
    assert (tasks[task]["method"], tasks[task]["owner"]) == ("sleep", "kojiadmin")
    assert tasks[task]["obstacle"] is None
    assert tasks[impossible]["obstacle"].endswith("has the arch x86_64_v2")
    assert (
        f"there is no task {task + 1000}"
        in proved.toji("logs", "--task", str(task + 1000), check=False).stderr
    )
    proved.session().cancelTask(task)
    proved.session().cancelTask(impossible)


def test_after_a_stop_too(proved: Koji) -> None:
    proved.session().createTag("made")
    proved.toji("stop")
    proved.toji("reset", "proved")
    assert "made" not in tags(proved)
    assert "demo" in tags(proved)
    proved.toji("wait", "--timeout", "30")


MAKE_RPMS = """
cat >/tmp/imported.spec <<'END'
Name: imported-%{number}
Version: 1
Release: 1
Summary: Nothing
License: MIT
BuildArch: noarch
%description
%install
mkdir -p %{buildroot}/usr/share
head -c 200000 /dev/urandom >%{buildroot}/usr/share/imported-%{number}
%files
/usr/share/imported-%{number}
END
for number in $(seq 60); do
    rpmbuild -bb --quiet --define "number $number" --define "_topdir /tmp/imported" \
        /tmp/imported.spec
done
"""


@pytest.fixture(scope="module")
def rpms(site: Koji, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Sixty RPMs to import, by their names."""
    folder = tmp_path_factory.mktemp("rpms")
    site.toji("exec", "kojibuilder", "bash", "-ec", MAKE_RPMS)
    container = f"{site.system}-kojibuilder"
    site.run("docker", "cp", f"{container}:/tmp/imported/RPMS/noarch", str(folder))
    return {path.name: path for path in folder.rglob("*.rpm")}


class Importer(threading.Thread):
    """Somebody who imports RPMs as fast as the hub lets: uploaded in pieces, moved to its place
    and committed to the database."""

    def __init__(self, site: Koji, rpms: list[Path]) -> None:
        super().__init__(daemon=True)
        self.session = site.session()
        self.rpms = rpms
        self.failed: list[Exception] = []

    def run(self) -> None:
        try:
            for path in self.rpms:
                self.session.createEmptyBuild(
                    path.name.removesuffix("-1-1.noarch.rpm"), "1", "1", None
                )
                folder = f"test/{secrets.token_hex(8)}"
                self.session.uploadWrapper(str(path), folder, blocksize=1 << 16)
                self.session.importRPM(folder, path.name)
        except Exception as error:
            self.failed.append(error)


def sums(site: Koji) -> dict[str, str]:
    """Of every RPM below packages/, by its name."""
    script = "find /mnt/koji/packages -name '*.rpm' -exec sha256sum '{}' +"
    lines = site.toji("exec", "koji", "sh", "-c", script).stdout.splitlines()
    return {Path(line.split()[1]).name: line.split()[0] for line in lines}


def known(site: Koji) -> set[str]:
    """Every RPM that the hub knows, by its file's name."""
    session = site.session(login=False)
    return {
        f"{rpm['nvr']}.{rpm['arch']}.rpm"
        for build in session.listBuilds()
        for rpm in session.listRPMs(buildID=build["build_id"])
    }


@pytest.mark.slow
def test_nothing_is_half_written_in_a_snapshot(site: Koji, rpms: dict[str, Path]) -> None:
    """Whatever the moment, files and database say the same, and nobody's call is lost."""
    site.toji("reset")
    paths = list(rpms.values())
    importers = [Importer(site, paths[start::3]) for start in range(3)]
    for importer in importers:
        importer.start()
    names = []
    while any(importer.is_alive() for importer in importers):
        names.append(f"busy-{len(names)}")
        site.toji("snapshot", "create", names[-1])
    for importer in importers:
        importer.join()
    assert [importer.failed for importer in importers] == [[], [], []]
    assert known(site) == set(rpms)
    true = {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in rpms.items()}
    counts = []
    for name in names:
        site.toji("reset", name)
        checksums = sums(site)
        assert set(checksums) == known(site), name
        assert checksums == {name: true[name] for name in checksums}, name
        counts.append(len(checksums))
        site.toji("snapshot", "delete", name)
    assert counts == sorted(counts)
    assert len(set(counts)) > 1, "no snapshot was made while they were at work"


def test_a_test_may_have_it_pristine(running_koji: OwnKoji, pristine_koji: OwnKoji) -> None:
    assert pristine_koji is running_koji
    session: Any = pristine_koji.session()
    assert session.listTags() == []
    session.createTag("seeded")
    pristine_koji.session("carol")
    pristine_koji.snapshot("seeded")
    session.createTag("more")
    pristine_koji.reset("seeded")
    assert [tag["name"] for tag in session.listTags()] == ["seeded"]
    assert pristine_koji.session("carol").getLoggedInUser()["name"] == "carol"
    pristine_koji.reset()
    assert session.listTags() == []
    # No user any more, and one again where somebody asks.
    assert pristine_koji.session("carol").getLoggedInUser()["name"] == "carol"
