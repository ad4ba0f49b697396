"""A fleet builds for a long time, and something breaks every half minute: no build gets lost.

What each container uses at the start and at the end is printed.
"""

import random
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import koji
import pytest

from nagoya.engine import connect, transfer
from nagoya.engine.containers import get
from nagoya.koji import rpm
from nagoya.koji.builds import upload, wait_for_repo
from nagoya.koji.verify import BUILD_TAG, BUILDROOT, DEMO_LABEL
from tests.system.building import hub_of, sources
from tests.system.conftest import Koji
from tests.system.test_faults import cut_off, inspected, kill

pytestmark = pytest.mark.long

BUILDS, AT_ONCE = 300, 6
BUILDERS = ("kojibuilder", "kojibuilder-2", "kojibuilder-3")
CONTAINERS = ("kojidatabase", "koji", *BUILDERS)
PAUSE_SECONDS = 30
"""From the end of a fault to the next one."""
BUILD_SECONDS = 1200
"""When a build is given up: a builder that is gone keeps its tasks for two minutes."""

SOURCE_RPMS = """
set -e
mkdir -p /tmp/soak && cd /tmp/soak
rpm --define "_sourcedir $PWD" --define "_specdir $PWD" -i "$(find "$0" -name {srpm})"
for release in $(seq 2 {last}); do
    sed -i "s/^Release:.*/Release: $release%{{?dist}}/" hello.spec
    rpmbuild -bs --quiet --define "dist .demo" --define "_sourcedir $PWD" \\
        --define "_srcrpmdir $PWD/srpms" hello.spec
done
"""
"""Make source RPMs of hello, each of another release. $0 is the folder with the demo's."""


@pytest.fixture(scope="module")
def fleet(start: Callable[..., Koji], checkout: Path) -> Koji:
    """A seeded Koji with three builders."""
    site = start("soak")
    site.toji("seed", str(checkout / "demo/seed.yml"))
    wait_for_repo(hub_of(site), BUILD_TAG, [BUILDROOT])
    site.toji("scale", f"kojibuilder={len(BUILDERS)}")
    site.toji("wait")
    return site


@pytest.fixture
def source_rpms(fleet: Koji, tmp_path: Path) -> list[Path]:
    """One for each build."""
    builder = get(connect(), f"{fleet.system}-kojibuilder")
    demo = inspected(fleet, "kojibuilder")["Config"]["Labels"][DEMO_LABEL]
    script = SOURCE_RPMS.format(srpm=sources(fleet, "hello").srpm_name, last=BUILDS + 1)
    fleet.run("docker", "exec", f"{fleet.system}-kojibuilder", "sh", "-c", script, demo)
    archive = tmp_path / "srpms.tar"
    with archive.open("wb") as file:
        file.writelines(transfer.read_chunks(builder, "/tmp/soak/srpms"))
    subprocess.run(["tar", "-xf", archive, "-C", tmp_path], check=True)
    return sorted(tmp_path.glob("srpms/*.src.rpm"))


def killed(site: Koji, name: str) -> None:
    kill(site, name)


def stopped_and_started(site: Koji, name: str) -> None:
    site.run("docker", "kill", f"{site.system}-{name}")
    time.sleep(10)
    site.run("docker", "start", f"{site.system}-{name}")


def restarted(site: Koji, name: str) -> None:
    site.toji("restart", name)


def without_network(site: Koji, name: str) -> None:
    with cut_off(site, name):
        time.sleep(45)


def with_loss(site: Koji, name: str) -> None:
    """A fifth of the packets that it receives get lost."""
    with loss(inspected(site, name)["State"]["Pid"]):
        time.sleep(30)


FAULTS = (killed, stopped_and_started, restarted, without_network, with_loss)


@contextmanager
def loss(process: int) -> Iterator[None]:
    rule = ("INPUT", "-m", "statistic", "--mode", "random", "--probability", "0.2", "-j", "DROP")
    enter = ("nsenter", "--target", str(process), "--net", "iptables", "--wait")
    subprocess.run([*enter, "-I", *rule], check=True)
    yield
    subprocess.run([*enter, "-D", *rule], check=True)


@contextmanager
def faults(fleet: Koji) -> Iterator[list[str]]:
    """Break something every half minute; what was broken, in the end."""
    chance, ended, past = random.Random(BUILDS), threading.Event(), []

    def run() -> None:
        while not ended.wait(PAUSE_SECONDS):
            fault, name = chance.choice(FAULTS), chance.choice(CONTAINERS)
            past.append(f"{name} {fault.__name__}")
            print(f"{time.strftime('%T')} {past[-1]}", flush=True)
            fault(fleet, name)

    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(run)
        try:
            yield past
        finally:
            ended.set()
        running.result()


def usage(site: Koji) -> dict[str, str]:
    """The memory of each container and the size of what it has written, and the volumes' sizes."""
    api = connect().client.api
    disk = api.df()
    written = {
        each["Names"][0].removeprefix(f"/{site.system}-"): each.get("SizeRw", 0)
        for each in disk["Containers"]
    }
    used = {}
    for name in CONTAINERS:
        memory = api.stats(f"{site.system}-{name}", stream=False)["memory_stats"]
        cached = memory["stats"].get("total_inactive_file", memory["stats"].get("inactive_file", 0))
        resident = memory["usage"] - cached
        used[name] = f"{resident >> 20} MiB of memory, {written[name] >> 20} MiB written"
    for volume in disk["Volumes"]:
        if volume["Name"].startswith(f"{site.system}-"):
            used[volume["Name"]] = f"{volume['UsageData']['Size'] >> 20} MiB"
    return used


def run_builds(session: Any, source_rpms: list[Path]) -> dict[int, str]:
    """Submit all, some at once; how each task ended."""
    waiting, running, ended = list(source_rpms), {}, {}
    while waiting or running:
        while waiting and len(running) < AT_ONCE:
            task = session.build(upload(session, waiting.pop()), "demo")
            running[task] = time.monotonic() + BUILD_SECONDS
        for task in list(running):
            state = koji.TASK_STATES[session.getTaskInfo(task)["state"]]
            if state in ("CLOSED", "FAILED", "CANCELED"):
                ended[task] = state
                del running[task]
            assert time.monotonic() < running.get(task, float("inf")), f"{task} is still {state}"
        time.sleep(1)
    return ended


def last_lines(session: Any, task: int) -> str:
    """The end of root.log of the tasks that failed below a task."""
    failed = (
        child["id"]
        for child in session.getTaskChildren(task)
        if child["state"] == koji.TASK_STATES["FAILED"]
    )
    return "\n".join(
        session.downloadTaskOutput(number, "root.log", size=-1)[-3000:].decode(errors="replace")
        for number in failed
        if "root.log" in session.listTaskOutput(number)
    )


def test_builds_outlive_faults(
    fleet: Koji, source_rpms: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert len(source_rpms) == BUILDS
    session = fleet.session()
    session.opts.update(max_retries=60, retry_interval=5, offline_retry=True)
    before, started = usage(fleet), time.monotonic()
    with capsys.disabled(), faults(fleet) as past:
        ended = run_builds(session, source_rpms)
    seconds = time.monotonic() - started
    fleet.toji("wait")
    after = usage(fleet)
    with capsys.disabled():
        print(f"\n{BUILDS} builds in {seconds:.0f} s, {len(past)} faults")
        for name in before:
            print(f"{name}: {before[name]}; in the end {after[name]}")

    reasons = {
        task: session.getTaskResult(task, raise_fault=False)
        for task, state in ended.items()
        if state != "CLOSED"
    }
    with capsys.disabled():
        for task, reason in reasons.items():
            print(f"{task}: {reason}\n{last_lines(session, task)}")
    assert not reasons
    tagged = session.listTagged("demo-candidate", package="hello")
    assert {build["nvr"] for build in tagged} == {
        path.name.removesuffix(".src.rpm") for path in source_rpms
    }
    hub = hub_of(fleet)
    for build in tagged:
        folder = koji.PathInfo(hub.profile.urls["files"]).build(build)
        for listed in session.listRPMs(build["build_id"]):
            path = tmp_path / "downloaded.rpm"
            path.write_bytes(hub.download(f"{folder}/{koji.pathinfo.rpm(listed)}"))
            assert rpm.read(path).identity == listed["payloadhash"], build["nvr"]
