"""Every make target, as a newcomer calls it: in a shell that activated nothing.

`make help` runs as it is. The other targets run in a copy of the checkout whose programs write down
how they were called and which of the project's programs they can find; the rest, Makefile and
tools/ with their quoting, runs as it is. (`make test-debian` runs them for real, elsewhere.)
"""

import json
import re
import shutil
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.unit.tools.isolation import isolate

NEEDED = ("docker", "koji", "moromi", "toji")
RECORDER = f"""#!/bin/sh
printf '%s\\n' "${{0##*/}}${{*:+ $*}}" >>"$HOME/calls"
for program in {" ".join(NEEDED)}; do
    command -v "$program" >/dev/null || echo "$program, for $0" >>"$HOME/missing"
done
case ${{0##*/}} in python) [ "$1" != - ] || exec {sys.executable} - ;; esac
"""
LINT = [
    "ruff check --quiet .",
    "ruff format --check --quiet .",
    "hadolint",
    *(
        f"mypy --no-error-summary --python-version {version} nagoya kojicallbacks.py"
        for version in ("3.11", "3.12", "3.13")
    ),
]
PYTEST = "pytest -n 2 --timeout 1200"
CALLS = {
    "help": [],
    "demo": [
        "setup host", "moromi build", "toji up", "koji --profile nagoya-koji hello",
        "koji --profile nagoya-koji list-hosts", "toji verify", "toji status", "python -",
    ],
    "down": ["toji --system koji remove"],
    "images": ["setup host", "moromi build"],
    "test": [
        "setup test", "setup test", *LINT, "moromi build", f"{PYTEST} -m not slow and not long",
    ],
    "test-slow": ["setup test", "moromi build -q", f"{PYTEST} -m slow"],
    "test-unit": ["setup test", "pytest tests/unit"],
    "test-image": ["setup test", "moromi build", f"{PYTEST} tests/image"],
    "test-system": ["setup test", "moromi build", f"{PYTEST} tests/system"],
    "test-koji": [
        "setup test", "moromi -c nagoya-current build", f"{PYTEST} --koji-config nagoya-current",
    ],
    "test-mock": [
        "setup test", "moromi -c docs/examples/mock/moromi.yml build",
        "pytest --koji-config docs/examples/mock/moromi.yml tests/image/koji_builder",
    ],
    "test-ansible": [
        "setup test", "pip install --quiet ansible-core", "moromi build -q",
        "pytest tests/system/test_koji_ansible.py",
    ],
    "test-upstream": [
        "setup test", "moromi -c nagoya-current build -q koji-hub koji-builder",
        "pytest -sq --koji-config nagoya-current tests/image/test_upstream.py",
    ],
    "test-distribution": [
        "setup test", "moromi build -q", "pytest -m long tests/system/test_distribution.py"
    ],
    "test-site": [
        "setup test", "moromi build -q", "pytest -m long tests/system/test_kerberos.py"
    ],
    "test-engines": [
        "setup test", "setup debian", "moromi build -q",
        "pytest -m long tests/system/test_engines.py",
    ],
    "test-soak": ["setup test", "moromi build -q", "pytest -m long tests/system/test_soak.py"],
    "test-swarm": [
        "setup test", "setup engines", "moromi build -q",
        "pytest -m long tests/system/test_swarm.py",
    ],
    "test-kubernetes": [
        "setup test", "moromi build -q", "moromi push",
        "pytest -m long tests/system/test_kubernetes.py",
    ],
    "test-workflows": [
        "setup test", "moromi build -q", "pytest -m long tests/system/test_in_container.py"
    ],
    "test-debian": ["setup debian", "debian other", "debian  bash -ec for target in"],
    "lint": ["setup test", *LINT],
    "bench": ["setup test", "moromi build -q", "python -m bench"],
    "purge": ["toji --system koji remove"],
}  # fmt: skip
LONG = ("slow", "distribution", "site", "workflows", "swarm", "engines", "soak", "debian")
CALLS["test-long"] = [call for name in LONG for call in CALLS[f"test-{name}"]]

WITH_ARGUMENTS = {
    "bench MOCK=current": [
        "setup test", "moromi build -q", "moromi -c docs/examples/mock/moromi.yml build -q",
        "python -m bench -m docs/examples/mock/moromi.yml",
    ],
    "bench QUICK=1 KOJI=current": [
        "setup test", "moromi build -q", "moromi -c nagoya-current build -q",
        "python -m bench quick -c nagoya-current",
    ],
}  # fmt: skip


@pytest.fixture
def engine() -> Iterator[str]:
    """The address of what answers a ping as an engine does."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"tcp://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def newcomer(tmp_path: Path, checkout: Path) -> Path:
    """A checkout whose heavy programs take notes, in $HOME."""
    shutil.copy(checkout / "Makefile", tmp_path)
    shutil.copytree(checkout / "tools", tmp_path / "tools")
    engine = tmp_path / "tools/engine"
    engine.write_text(isolate(engine.read_text(), tmp_path))
    names = ("hadolint", "koji", "moromi", "mypy", "pip", "pytest", "python", "ruff", "toji")
    programs = [".venv/bin/" + name for name in names]
    programs += ["bin/docker", "tools/setup", "tools/debian"]
    for program in programs:
        path = tmp_path / program
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(RECORDER)
        path.chmod(0o755)
    koji = tmp_path / ".koji/nagoya/koji/koji.json"
    koji.parent.mkdir(parents=True)
    settings = {"urls": {"web": "", "files": ""}, "profile": "nagoya-koji"}
    koji.write_text(json.dumps({**settings, "browser_certificate": "", "browser_password": ""}))
    return tmp_path


def test_these_are_all_targets(checkout: Path) -> None:
    (targets,) = re.findall(r"^\.PHONY: (.*)$", (checkout / "Makefile").read_text(), re.MULTILINE)
    assert sorted(CALLS) == sorted(targets.split())


def test_the_pythons_that_are_checked_are_those_declared(checkout: Path) -> None:
    project = tomllib.loads((checkout / "pyproject.toml").read_text())["project"]
    declared = re.findall(r"Python :: (3\.\d+)", " ".join(project["classifiers"]))
    assert f"PYTHONS := {' '.join(declared)}\n" in (checkout / "Makefile").read_text()
    assert project["requires-python"] == f">={declared[0]}"


@pytest.mark.parametrize("target", [*CALLS, *WITH_ARGUMENTS])
def test_a_target_finds_all_that_it_calls(newcomer: Path, engine: str, target: str) -> None:
    environment = {"HOME": str(newcomer), "PATH": f"{newcomer}/bin:/usr/bin:/bin"}
    ran = subprocess.run(
        ["make", "--no-print-directory", *target.split()],
        cwd=newcomer, env={**environment, "DOCKER_HOST": engine}, check=False,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout
    assert not (newcomer / "missing").exists(), (newcomer / "missing").read_text()
    calls = newcomer / "calls"
    called = calls.read_text().splitlines() if calls.exists() else []
    calls_expected = {**CALLS, **WITH_ARGUMENTS}[target]
    assert len(called) == len(calls_expected), called
    for line, expected in zip(called, calls_expected, strict=True):
        assert line.startswith(expected)
