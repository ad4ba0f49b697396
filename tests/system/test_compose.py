"""docs/compose.md: the same Koji under `docker compose`, which builds an RPM."""

import re
import secrets
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from nagoya.config.declaration import Declaration
from nagoya.engine.published import free_port
from nagoya.koji.builds import build
from nagoya.koji.hub import HubConnection
from nagoya.koji.profile import CA, Profile
from tests.system.building import seed_demo
from tests.system.conftest import Koji

PLUGIN = Path(sys.prefix) / "docker"
"""Where `tools/setup test` puts the plugin if the distribution has none."""


class Project(Koji):
    """A project of Compose in a folder of its own; the shell blocks of docs/compose.md."""

    def shell(self, script: str, *, check: bool = True) -> str:
        run = self.run("bash", "-euxc", f"cd {self.home}\n{script}", check=False)
        assert run.status == 0 or not check, run.stdout[-2000:] + run.stderr[-4000:]
        return run.stdout

    def hub(self, folder: Path) -> HubConnection:
        """The hub, with a profile that has the files copied by the blocks."""
        root = f"https://127.0.0.1:{self.environment['KOJI_PORT_443']}"
        urls = {"hub": f"{root}/kojihub", "web": f"{root}/koji", "files": f"{root}/kojifiles"}
        profile = Profile(self.system, folder, "koji", urls)
        profile.folder.mkdir(parents=True)
        for name in (CA, "kojiadmin.pem"):
            shutil.copy(self.home / name, profile.folder)
        return HubConnection(profile)


@pytest.fixture
def project(tmp_path: Path, declaration: Declaration) -> Iterator[Project]:
    name = f"compose-{secrets.token_hex(3)}"
    environment = {
        "NAGOYA_SYSTEM": name,
        "KOJI_PORT_443": str(free_port("127.0.0.1")),
        "KOJI_PORT_80": str(free_port("127.0.0.1")),
        **({"DOCKER_CONFIG": str(PLUGIN)} if PLUGIN.exists() else {}),
    }
    compose = Project(name, tmp_path, declaration.path, environment)
    yield compose
    compose.shell("docker compose down --volumes --timeout 3", check=False)


def test_a_koji_under_compose(project: Project, checkout: Path, declaration: Declaration) -> None:
    text = (checkout / "docs/compose.md").read_text()
    *blocks, down = re.findall(r"^```sh\n(.*?)^```", text, re.M | re.S)
    assert len(blocks) == 3
    script = "\n".join(blocks).replace("toji export", f"toji -c {declaration.path} export")
    output = project.shell(script)
    assert ", kojiadmin!" in output
    assert ", alice!" in output
    folder = project.home / "client"
    hub = project.hub(folder)
    project.shell("docker compose cp kojibuilder:/usr/share/nagoya/demo demo")
    source = seed_demo(hub, checkout, project.home / "demo")
    assert "hello-1.0-1.demo.noarch.rpm" in build(hub, "demo", source).rpms
    # The data is still there after a stop, and the hub under its old address.
    project.shell("docker compose stop\ndocker compose up --detach --wait")
    assert hub.session().getBuild("hello-1.0-1.demo")["state"] == 1
    project.shell(down)
    assert project.shell("docker compose ps --all --quiet") == ""
