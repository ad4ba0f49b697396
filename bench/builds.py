"""How long a build takes, and how much more builders help."""

import secrets
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import koji

from bench.systems import PROGRAMS, BenchSystem
from bench.table import Row, side_by_side

UNFINISHED = ("FREE", "OPEN", "ASSIGNED")
_BUILDS = 6
HELLO_GIT = "git+https://koji/demo/git/hello.git#main"
MOCK_ALONE = "mock --init twice, --rebuild once"
HELLO_SRPM = "/usr/share/nagoya/demo/srpms/hello-1.0-1.src.rpm"


def build_rows(system: BenchSystem, rounds: int) -> Iterator[Row]:
    """A build of hello, beside the three calls of mock that every build needs.

    The system has the demo's target: `toji verify` has passed.
    """
    session = system.session()
    write_mock_config(system, "bench")
    (hello,), (mock,) = side_by_side(
        rounds,
        lambda: (build_srpm(system, session),),
        lambda: (mock_alone(system, "bench", HELLO_SRPM),),
    )
    yield Row("hello, from submit to closed", hello, "s", mock, MOCK_ALONE, "ratio <= 2")


def write_mock_config(
    system: BenchSystem, name: str, more: str = "", tag: str = "demo-build"
) -> None:
    """Write a configuration of mock for the buildroot of a tag into the builder."""
    config = ["mock-config", f"--tag={tag}", "--arch=x86_64", "--topurl=https://koji/kojifiles"]
    profile = system.connection["profile"]
    mock_config = [str(PROGRAMS / "koji"), "-p", profile, *config, name]
    output = subprocess.run(
        mock_config, env=system.environment, check=True, capture_output=True
    ).stdout
    path = f"/etc/mock/koji/{name}.cfg"
    system.execute("kojibuilder", "tee", path, stdin=output + more.encode())


def fleet_rows(system: BenchSystem) -> Iterator[Row]:
    """Several builds on one builder and on three, and the start of ten builders."""
    session = system.session()
    sources = [HELLO_GIT] * _BUILDS
    single = build(session, *sources)
    system.toji("scale", "kojibuilder=3")
    _wait_for_hosts(session, 3)
    three = build(session, *sources)
    yield Row(f"{_BUILDS} builds on three builders", three, "s", single, "on one builder")
    system.toji("scale", "kojibuilder=0")
    start = time.monotonic()
    system.toji("scale", "kojibuilder=10")
    _wait_for_hosts(session, 10)
    ten = time.monotonic() - start
    yield Row("ten builders, from start to all checked in", ten, "s", aim="<= 15 s")


def upload_hello(system: BenchSystem, session: Any) -> str:
    """Upload the source RPM of hello, which is in the builder; its path for `session.build`."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, Path(HELLO_SRPM).name)
        path.write_bytes(system.execute("kojibuilder", "cat", HELLO_SRPM))
        upload = f"bench/{secrets.token_hex(8)}"
        session.uploadWrapper(str(path), upload)
    return f"{upload}/{path.name}"


def wait_until_closed(session: Any, task: int) -> None:
    """Wait for a task's end; AssertionError unless it is closed."""
    while (state := task_state(session, task)) in UNFINISHED:
        time.sleep(0.05)
    assert state == "CLOSED", f"task {task} ended as {state}"


def task_state(session: Any, task: int) -> str:
    """Koji's name for a task's state."""
    return str(koji.TASK_STATES[session.getTaskInfo(task)["state"]])


def build_srpm(system: BenchSystem, session: Any) -> float:
    """Seconds from submitting hello's source RPM, which was uploaded before, to the build's end."""
    return build(session, upload_hello(system, session))


def build(session: Any, *sources: str) -> float:
    """Seconds from submitting these scratch builds, all at once, to the end of the last."""
    start = time.monotonic()
    tasks = [session.build(source, "demo", {"scratch": True}) for source in sources]
    for task in tasks:
        wait_until_closed(session, task)
    return time.monotonic() - start


def mock_alone(system: BenchSystem, name: str, srpm: str) -> float:
    """Seconds of what kojid has mock do for a build, with a configuration that was written."""
    mock = f"mock -r koji/{name}"
    command = f"{mock} --init && {mock} --init && {mock} --no-clean --rebuild {srpm}"
    start = time.monotonic()
    system.execute("kojibuilder", "sh", "-c", command, user="kojibuilder")
    return time.monotonic() - start


def _wait_for_hosts(session: Any, count: int) -> None:
    while len(session.listHosts(ready=True, enabled=True)) < count:
        time.sleep(0.1)
