"""RPMs, built by a real kojid, for every way that a build can go."""

import json
import re
from pathlib import Path

import docker
import koji
import pytest
import requests

from nagoya.engine import connect
from nagoya.errors import LifecycleError
from nagoya.koji import rpm
from nagoya.koji.builds import TaskFailed, build
from tests.image.tracked import wait_until
from tests.system.building import SECONDS, child, hub_of, sources, state, uploaded
from tests.system.conftest import Koji


def test_verify_proves_the_system_and_may_be_repeated(seeded: Koji) -> None:
    again = seeded.toji("verify", "--json")
    built = json.loads(again.stdout)["builds"]
    assert [entry["rpm"] for entry in built] == ["hello-1.0-1.demo.noarch"] * 2
    for step in ("ready", "log in", "seed", "repository", "build from a source RPM"):
        assert re.search(rf"\] {step} .* \d+\.\d s", again.stderr), step
    for entry in built:
        page = requests.get(entry["url"], verify=seeded.description["ca"], timeout=30)
        assert page.status_code == 200


def test_kojis_client_downloads_builds_tasks_and_logs(
    seeded: Koji, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the profile alone: no authority is added to this machine's, no option is given."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
    session = seeded.session()
    task = session.getBuild("hello-1.0-1.demo")["task_id"]
    rpms = {"hello-1.0-1.demo.src.rpm", "hello-1.0-1.demo.noarch.rpm"}
    seeded.client("download-task", "--noprogress", str(task))
    assert {path.name for path in tmp_path.glob("*.rpm")} == rpms
    for path in tmp_path.glob("*.rpm"):
        rpm.read(path)
        path.unlink()
    # It checks what it has downloaded with the module `rpm`, which PyPI does not have.
    answer = seeded.client("download-build", "--noprogress", "hello-1.0-1.demo", check=False)
    assert "CERTIFICATE" not in answer.stderr
    assert "hello-1.0-1.demo.src.rpm" in {path.name for path in tmp_path.glob("*.rpm")}
    seeded.client("download-logs", "--nvr", "hello-1.0-1.demo")
    assert "Wrote: " in (tmp_path / "kojilogs/hello-1.0-1.demo/build.log").read_text()


def test_the_rpm_is_where_koji_says_and_is_whole(seeded: Koji, tmp_path: Path) -> None:
    seeded.run("koji", "-p", f"nagoya-{seeded.system}", "list-tagged", "demo-candidate")
    path = tmp_path / "hello.rpm"
    served = seeded.description["urls"]["files"]
    url = f"{served}/packages/hello/1.0/1.demo/noarch/hello-1.0-1.demo.noarch.rpm"
    answer = requests.get(url, verify=seeded.description["ca"], timeout=30)
    path.write_bytes(answer.content)
    header = rpm.read(path)
    assert (header.nvr, header.arch, header.signed) == ("hello-1.0-1.demo", "noarch", False)

    damaged = bytearray(answer.content)
    damaged[-1] ^= 1
    path.write_bytes(damaged)
    with pytest.raises(LifecycleError, match="payload does not match"):
        rpm.read(path)
    path.write_bytes(answer.content[:200])
    with pytest.raises(LifecycleError, match="cut off in its headers"):
        rpm.read(path)


def test_a_package_in_c_is_compiled(seeded: Koji, tmp_path: Path) -> None:
    session = seeded.session()
    task = session.build(uploaded(session, sources(seeded, "hello-c"), tmp_path), "demo")
    assert state(session, task) == "CLOSED"
    (build,) = session.listBuilds(taskID=task)
    arches = {rpm["arch"] for rpm in session.listRPMs(buildID=build["build_id"])}
    assert arches == {"src", "x86_64"}
    buildroot = session.listBuildroots(taskID=child(session, task, "buildArch")["id"])[0]
    installed = {rpm["name"] for rpm in session.listRPMs(componentBuildrootID=buildroot["id"])}
    assert {"demo-buildroot", "demo-gcc"} <= installed


def test_a_scratch_build_leaves_no_build(seeded: Koji) -> None:
    hub = hub_of(seeded)
    result = build(hub, "demo", sources(seeded, "greeting").git, scratch=True, seconds=SECONDS)
    assert (result.nvr, result.scratch) == ("greeting-1.0-1.demo", True)
    assert set(result.rpms) == {
        "greeting-1.0-1.demo.src.rpm", "greeting-1.0-1.demo.noarch.rpm",
    }  # fmt: skip
    assert all(hub.download(url) for url in [result.url, *result.rpms.values()])
    session = seeded.session()
    assert session.listBuilds(taskID=result.task) == []


@pytest.mark.parametrize(
    ("package", "log", "reason"),
    [
        ("fails", "build.log", "this package is meant to fail"),
        ("lacks", "root.log", "provided-by-nobody"),
    ],
)
def test_a_failure_says_where_its_reason_is(
    seeded: Koji, tmp_path: Path, package: str, log: str, reason: str
) -> None:
    session = seeded.session()
    with pytest.raises(TaskFailed, match=reason) as failed:
        build(hub_of(seeded), "demo", sources(seeded, package).write(tmp_path), seconds=SECONDS)
    task = failed.value.task
    assert f"==> {log} <==" in failed.value.message
    with pytest.raises(koji.BuildError, match=f"see .*{log}"):
        session.getTaskResult(task)

    subtask = child(session, task, "buildArch")
    assert reason in session.downloadTaskOutput(subtask["id"], log).decode()
    assert f"/{log}" in seeded.client("taskinfo", "-r", str(task)).stdout
    assert reason in seeded.toji("logs", "--task", str(task)).stdout
    web = seeded.description["urls"]["web"]
    page = requests.get(
        f"{web}/taskinfo?taskID={subtask['id']}", verify=seeded.description["ca"], timeout=30
    )
    assert page.status_code == 200
    assert log in page.text


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        (
            "git+https://koji/demo/git/hello.git?nowhere#main",
            "has no folder 'nowhere'",
        ),
        ("cli-build/nobody/gone-1-1.src.rpm", "cannot download .*/gone-1-1.src.rpm: 404"),
    ],
)
def test_a_source_that_is_not_there_is_named(seeded: Koji, source: str, reason: str) -> None:
    session = seeded.session()
    task = session.build(source, "demo")
    assert state(session, task) == "FAILED"
    with pytest.raises(koji.GenericError, match=reason):
        session.getTaskResult(task)


@pytest.mark.parametrize("up", ["..", "%2e%2e"])
def test_a_source_from_beside_the_allowed_ones_is_refused(seeded: Koji, up: str) -> None:
    session = seeded.session()
    task = session.build(f"git+https://koji/demo/git/{up}/x#main", "demo")
    assert state(session, task) == "FAILED"
    with pytest.raises(koji.BuildError, match="koji:/demo/x is not in the list"):
        session.getTaskResult(task)


def test_a_cancelled_build_leaves_no_process_and_no_mount(seeded: Koji, tmp_path: Path) -> None:
    session = seeded.session()
    task = session.build(uploaded(session, sources(seeded, "slow"), tmp_path), "demo")
    wait_until(lambda: sleeping(seeded), 120, "the package sleeps")
    session.cancelTask(task)
    assert state(session, task) == "CANCELED"
    wait_until(lambda: not sleeping(seeded), 60, "its processes are gone")
    mounts = seeded.toji("exec", "kojibuilder", "cat", "/proc/self/mounts").stdout
    assert "/var/lib/mock/" not in mounts


def sleeping(site: Koji, name: str = "kojibuilder") -> bool:
    """Whether the package `slow` is at work in a builder."""
    try:
        top = connect().client.containers.get(f"{site.system}-{name}").top(ps_args="-eo pid,args")
    except docker.errors.APIError:
        return False
    return any("sleep 600" in words or "sleep 15" in words for _, words in top["Processes"])


def test_a_chain_waits_for_what_it_needs(seeded: Koji) -> None:
    """The second package cannot be built before the first is in the repository."""
    session = seeded.session()
    first, second = (sources(seeded, name).git for name in ("greeting", "greeter"))
    task = session.chainBuild([[first], [second]], "demo-chain")
    assert state(session, task, 600) == "CLOSED"
    tagged = {build["nvr"] for build in session.listTagged("demo")}
    assert {"greeting-1.0-1.demo", "greeter-1.0-1.demo"} <= tagged


def test_a_report_holds_the_tasks_logs_and_no_secret(seeded: Koji, tmp_path: Path) -> None:
    path = tmp_path / "report.tar.gz"
    seeded.toji("report", str(path))
    seeded.run("tar", "-xzf", str(path), "-C", str(tmp_path))
    files = {
        str(file.relative_to(tmp_path / "report")) for file in (tmp_path / "report").rglob("*")
    }
    assert {"versions.json", "moromi.yml", "hub.json", "containers/koji.log"} <= files
    assert [name for name in files if re.fullmatch(r"tasks/\d+-buildArch/build.log", name)]
    everything = b"".join(
        file.read_bytes() for file in (tmp_path / "report").rglob("*") if file.is_file()
    )
    assert b"PRIVATE KEY" not in everything
    key = Path(seeded.description["certificate"]).read_text().splitlines()[1]
    assert key.encode() not in everything


def test_a_seed_of_ones_own(seeded: Koji, tmp_path: Path) -> None:
    (tmp_path / "seed.yml").write_text("""
type: user
name: packager
permissions: [tag, build]
---
type: permission
name: build
---
type: tag
name: of-my-own
arches: [x86_64]
groups: {build: {packages: [{name: demo-buildroot}]}}
---
type: policy
name: tag
rules:
  - "tag of-my-own && user packager :: deny nobody tags here"
  - "all :: allow"
""")
    seeded.toji("seed", str(tmp_path / "seed.yml"))
    session = seeded.session()
    assert sorted(session.getUserPerms("packager")) == ["build", "tag"]
    assert session.getTag("of-my-own")["arches"] == "x86_64"
    assert (
        "user packager"
        in seeded.toji("exec", "koji", "cat", "/etc/koji-hub/hub.conf.d/50-seed.conf").stdout
    )
    again = seeded.toji("seed", str(tmp_path / "seed.yml")).stderr
    assert again.count("unchanged") == 3


WRONG = """
type: user
name: never-made
permissions: [repo]
---
type: tag
name: never-made
"""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("type: target\nname: t\nbuild-tag: not-there\n", "tag not-there"),
        ("type: tag\nname: u\narches: x86_64\n", "seed.yml:9:\n  tag 'u': arches: should be a"),
        (
            "type: tag\nname: u\narchs: [x86_64]\n",
            "seed.yml:9:\n  tag 'u': archs: unknown key; did you mean 'arches'?",
        ),
        (
            "type: tag\nname: u\ninheritance: [{name: never-made, prio: 3}]\n",
            "inheritance[0].prio: unknown key; did you mean 'priority'?",
        ),
        (
            "type: user\nname: u\npermissions: [repoo]\n",
            "document 3 (user): the hub has no permission 'repoo'; did you mean 'repo'?",
        ),
        (
            "type: import\ntag: not-there\nbuilds: [a-1-1]\nrpms: [x]\n",
            "document 3 (import): the hub has no tag 'not-there'",
        ),
        (
            "type: import\ntag: never-made\nbuilds: [a-1-1]\nrpms: ['x*.rpm']\n",
            "matches x*.rpm",
        ),
    ],
)
def test_a_wrong_seed_changes_nothing(
    seeded: Koji, tmp_path: Path, text: str, message: str
) -> None:
    (tmp_path / "seed.yml").write_text(f"{WRONG}---\n{text}")
    run = seeded.toji("seed", str(tmp_path / "seed.yml"), check=False)
    assert run.status in (3, 7)
    assert message in run.stderr
    assert "Traceback" not in run.stderr
    session = seeded.session()
    assert (session.getUser("never-made"), session.getTag("never-made")) == (None, None)


def test_a_wrong_policy_is_refused_and_the_next_seed_works(seeded: Koji, tmp_path: Path) -> None:
    path, session = tmp_path / "seed.yml", seeded.session()
    path.write_text("""
type: user
name: never-made
---
type: policy
name: package_list
rules: ["has_prem admin :: allow", "all :: deny"]
""")

    def started() -> str:
        command = ("docker", "inspect", "--format", "{{.State.StartedAt}}")
        return seeded.run(*command, f"{seeded.system}-koji").stdout

    before = started()
    run = seeded.toji("seed", str(path), check=False)
    assert run.status == 7
    assert "document 2: policy 'package_list', rule 1: unknown test 'has_prem'" in run.stderr
    assert (started(), session.getUser("never-made")) == (before, None)
    seeded.toji("wait")
    path.write_text(path.read_text().replace("has_prem", "has_perm"))
    assert "hub restarted" in seeded.toji("seed", str(path)).stderr
    assert started() != before
    assert session.getUser("never-made")


def test_the_pages_of_a_build_answer(seeded: Koji) -> None:
    """Those pages of kojiweb's that the image's own tests have no build for."""
    session = seeded.session()
    build = session.getBuild("hello-1.0-1.demo")
    task = child(session, build["task_id"], "buildArch")["id"]
    rpm = session.getRPM("hello-1.0-1.demo.noarch")["id"]
    buildroot = session.listBuildroots(taskID=task)[0]["id"]
    repo = session.getRepo("demo-build")["id"]
    web = seeded.description["urls"]["web"]
    for page in (
        f"buildinfo?buildID={build['id']}",
        f"rpminfo?rpmID={rpm}",
        f"fileinfo?rpmID={rpm}&filename=/usr/bin/hello",
        f"buildrootinfo?buildrootID={buildroot}",
        f"rpmlist?buildrootID={buildroot}&type=component",
        f"repoinfo?repoID={repo}",
        f"getfile?taskID={task}&name=build.log&volume=DEFAULT",
    ):
        answer = requests.get(f"{web}/{page}", verify=seeded.description["ca"], timeout=30)
        assert answer.status_code == 200, page
        assert "Traceback" not in answer.text or page.startswith("getfile"), page
