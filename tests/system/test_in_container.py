"""Tests of a tool that run in a container, as jobs of a CI service do, and start a Koji beside it.

Programs and libraries are this machine's own, mounted read-only.
"""

import secrets
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import docker
import pytest
import yaml
from docker.models.networks import Network

from nagoya.config.declaration import Declaration
from nagoya.engine import connect
from tests.registry import PASSWORD, USER, Registry, forget, registry
from tests.toji.relay import relay

TEST = """
def test_it(running_koji):
    print("HUB", running_koji.url)
    assert running_koji.session("alice").getLoggedInUser()["name"] == "alice"
    assert ", kojiadmin!" in running_koji.cli("hello").stdout
    assert running_koji.hub.download(f"{running_koji.files_url}/packages/")
    running_koji.reset()
    assert running_koji.session(None).getTag("none") is None
"""


@pytest.fixture
def engine() -> docker.DockerClient:
    return connect().client


@pytest.fixture
def network(engine: docker.DockerClient) -> Iterator[Network]:
    """The network of the job's container, as a CI service makes one for each job."""
    bridge = engine.networks.create(f"job-{secrets.token_hex(3)}")
    bridge.reload()
    yield bridge
    bridge.remove()


@pytest.fixture
def gateway(network: Network) -> str:
    """This machine, as the container reaches it."""
    return str(network.attrs["IPAM"]["Config"][0]["Gateway"])


@pytest.fixture
def job(
    engine: docker.DockerClient,
    network: Network,
    tmp_path: Path,
    checkout: Path,
    declaration: Declaration,
) -> Callable[..., str]:
    """Run the test in a container; its output."""
    (tmp_path / "test_tool.py").write_text(TEST)
    base = Path(sys.base_prefix)
    trees = {Path(source.path) for source in declaration.sources.values() if source.path}
    mounted = {Path("/usr"), Path(sys.prefix), base, checkout, *trees}
    volumes = {str(path): {"bind": str(path), "mode": "ro"} for path in mounted}
    volumes[str(tmp_path)] = {"bind": "/job", "mode": "rw"}
    pytest = [str(Path(sys.prefix) / "bin/python"), "-m", "pytest", "-s", "-p", "no:cacheprovider"]
    pytest += ["--koji-config", str(declaration.path), "/job/test_tool.py"]

    def run(
        *, socket: str | None = None, command: Sequence[str] = pytest, **options: object
    ) -> str:
        if socket:
            volumes[socket] = {"bind": "/var/run/docker.sock", "mode": "rw"}
        container = engine.containers.run(
            declaration.base.image, list(command), detach=True, working_dir="/job",
            network=network.name, volumes=volumes, **options,
        )  # fmt: skip
        try:
            status = container.wait()["StatusCode"]
            output: str = container.logs().decode()
        finally:
            container.remove(force=True)
        assert status == 0, output[-4000:]
        return output

    return run


def environment(**more: str) -> dict[str, str]:
    return {"HOME": "/job/home", "PYTHONDONTWRITEBYTECODE": "1", **more}


def test_with_the_engine_s_socket(job: Callable[..., str], gateway: str) -> None:
    path = connect().address.removeprefix("unix://")
    assert f"HUB https://{gateway}:" in job(socket=path, environment=environment())


def test_with_the_engine_in_a_service_beside_it(job: Callable[..., str], gateway: str) -> None:
    """The engine is reached by TCP, under a name, and so are its ports, as with docker:dind."""
    path = Path(connect().address.removeprefix("unix://"))
    server = socket.create_server((gateway, 0))
    with relay(server, path):
        output = job(
            environment=environment(DOCKER_HOST=f"tcp://docker:{server.getsockname()[1]}"),
            extra_hosts={"docker": gateway},
        )
    assert "HUB https://docker:" in output


def test_with_an_override(job: Callable[..., str], gateway: str) -> None:
    path = connect().address.removeprefix("unix://")
    output = job(
        socket=path,
        environment=environment(TESTCONTAINERS_HOST_OVERRIDE="engine.example"),
        extra_hosts={"engine.example": gateway},
    )
    assert "HUB https://engine.example:" in output


@pytest.fixture
def site(engine: docker.DockerClient, tmp_path: Path) -> Iterator[Registry]:
    """A registry that the engine trusts."""
    with registry(engine, tmp_path / "registry") as server:
        server.trust()
        yield server


def commands(workflow: dict[str, Any], job: str) -> list[str]:
    """What a job of a workflow file runs, on a machine that has all programs."""
    before, script = (
        ([], [step.get("run", "") for step in workflow["jobs"][job]["steps"]])
        if "jobs" in workflow
        else (workflow["default"]["before_script"], workflow[job]["script"])
    )
    installs = ("apt-get", "pip install")
    return [line for line in [*before, *script] if line and not line.startswith(installs)]


@pytest.fixture(params=["github", "gitlab"])
def run_job(
    request: pytest.FixtureRequest,
    job: Callable[..., str],
    gateway: str,
    site: Registry,
    checkout: Path,
) -> Iterator[Callable[[str], str]]:
    """Run a job of a forge's workflow file, with the variables that it has there; its output."""
    workflow = yaml.safe_load((checkout / f"docs/examples/ci/{request.param}.yml").read_text())
    path = Path(connect().address.removeprefix("unix://"))
    server = socket.create_server((gateway, 0))
    variables = environment(PATH=f"{sys.prefix}/bin:/usr/bin", PYTHONPATH=str(checkout))
    if request.param == "github":
        variables |= {"REGISTRY": f"{site.address}/koji"}
        variables |= {"REGISTRY_USER": USER, "REGISTRY_PASSWORD": PASSWORD}
        options: dict[str, Any] = {"socket": str(path)}
    else:
        project = f"{site.address}/group/project"
        variables |= {"CI_REGISTRY": site.address, "CI_REGISTRY_IMAGE": project}
        variables |= {"CI_REGISTRY_USER": USER, "CI_REGISTRY_PASSWORD": PASSWORD}
        variables["DOCKER_HOST"] = f"tcp://docker:{server.getsockname()[1]}"
        options = {"extra_hosts": {"docker": gateway}}

    def run(name: str) -> str:
        script = "\n".join(commands(workflow, name)).replace("pytest", "pytest -s")
        return job(command=["bash", "-euxc", script], environment=variables, **options)

    with relay(server, path):
        yield run


@pytest.mark.long
def test_a_workflow_file(
    run_job: Callable[[str], str],
    engine: docker.DockerClient,
    site: Registry,
    declaration: Declaration,
    tmp_path: Path,
) -> None:
    """docs/examples/ci: its jobs build, push, pull and test, with images of their own tag."""
    tag = f"ci-{secrets.token_hex(3)}"
    (tmp_path / "moromi.yml").write_text(f"extends: {declaration.path}\ntag: {tag}\n")
    names = tuple(f"{name}:{tag}" for name in declaration.images)
    try:
        assert "/moromi@sha256:" in run_job("images")
        forget(engine, site.address, *names)
        output = run_job("tests")
    finally:
        forget(engine, *names)
    assert f"koji-hub:{tag}" in output
    assert "HUB https://" in output
