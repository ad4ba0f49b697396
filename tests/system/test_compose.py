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
from nagoya.koji import habitude
from nagoya.koji.builds import build, wait_for_repo
from nagoya.koji.hub import HubConnection
from nagoya.koji.importer import import_rpms
from nagoya.koji.imports import find_rpms
from nagoya.koji.profile import CA, Profile
from nagoya.koji.seed import read_seed
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
    session = hub.session()
    seed = read_seed(checkout / "demo/seed.yml")
    habitude.apply(hub, seed.habitude)
    project.shell("docker compose cp kojibuilder:/usr/share/nagoya/demo demo")
    for document in seed.imports.values():
        names = tuple(Path(name).name for name in document.rpms)
        copied = document.model_copy(update={"container": None, "rpms": names})
        with find_rpms(None, copied, project.home / "demo/rpms", print) as selection:
            import_rpms(hub, session, copied, selection, print)
        wait_for_repo(hub, document.tag, document.builds)
    (source,) = (project.home / "demo").rglob("hello-1*.src.rpm")
    assert "hello-1.0-1.demo.noarch.rpm" in build(hub, "demo", source).rpms
    # The data is still there after a stop, and the hub under its old address.
    project.shell("docker compose stop\ndocker compose up --detach --wait")
    assert hub.session().getBuild("hello-1.0-1.demo")["state"] == 1
    project.shell(down)
    assert project.shell("docker compose ps --all --quiet") == ""
