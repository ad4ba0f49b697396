"""The same commands on other engines, of Debian's suites; `make test-engines` runs it."""

import re
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import pytest

from nagoya.config.declaration import Declaration
from nagoya.engine import connect
from tests.debian_roots import debian_root, version
from tests.engines import Bridge, Engine, Podman, RootlessPodman
from tests.image.tracked import wait_until
from tests.system.conftest import Koji, Run

pytestmark = pytest.mark.long

CONTAINERD_ENGINE = partial(Engine, options={"features": {"containerd-snapshotter": True}})
ENGINES: Mapping[str, tuple[Callable[..., Engine], str]] = {
    "docker-bookworm": (Engine, "bookworm"),
    "docker-trixie": (Engine, "trixie"),
    "docker-trixie-containerd": (CONTAINERD_ENGINE, "trixie"),
    "docker-sid": (Engine, "sid"),
    "docker-sid-containerd": (CONTAINERD_ENGINE, "sid"),
    "podman-bookworm": (Podman, "bookworm"),
    "podman-trixie": (Podman, "trixie"),
    "podman-sid": (Podman, "sid"),
    "podman-sid-rootless": (RootlessPodman, "sid"),
}
CHANGED = "koji-top-volume"
"""The image that a test changes; no other is built on it."""


@dataclass
class Site(Koji):
    """A system on an engine of its own."""

    engine: Engine | None = None

    def run(self, *command: str, check: bool = True) -> Run:
        assert self.engine
        return super().run(*map(str, self.engine.enter), *command, check=check)

    def build(self) -> dict[str, str]:
        """What `moromi build` says of each image: `built` or `unchanged`."""
        lines = self.run("moromi", "-c", str(self.config), "build").stderr
        return dict(re.findall(r"(\S+) +(built|unchanged)$", lines, re.M))

    def left(self) -> dict[str, list[str]]:
        """What is on the engine besides images."""
        kinds = {"ps": ("--all",), "volume": ("ls",), "network": ("ls",)}
        return {
            kind: self.run("docker", kind, *options, "--quiet").stdout.split()
            for kind, options in kinds.items()
        }


@pytest.fixture(scope="module")
def bridge() -> Iterator[Bridge]:
    with Bridge() as bridge:
        yield bridge


@pytest.fixture
def context(declaration: Declaration, checkout: Path, tmp_path: Path) -> Path:
    """A copy of the checkout with its sources, to be changed."""
    left_out = shutil.ignore_patterns(".git", ".venv", ".*_cache", "__pycache__", "artifacts")
    copy = shutil.copytree(checkout, tmp_path / "checkout", ignore=left_out)
    return copy / declaration.path.relative_to(checkout)


def images(site: Site, names: Collection[str], changed: Path, *, same_ids: bool) -> None:
    """The images of another engine count as built, and only what has changed is built."""
    unchanged = dict.fromkeys(names, "unchanged")
    assert site.build() == (unchanged if same_ids else dict.fromkeys(names, "built"))
    assert site.build() == unchanged
    with (changed / "entrypoint.py").open("a") as file:
        file.write("# changed\n")
    assert site.build() == {**unchanged, changed.name: "built"}


def life(site: Site, tag: str) -> None:
    """A system is started, builds, is saved and restored, and grows."""
    site.toji("up")
    assert "kojiadmin" in site.client("hello").stdout
    site.toji("verify")
    site.toji("snapshot", "create", "one")
    assert "one" in site.toji("snapshot", "list").stdout
    site.client("add-tag", tag)
    site.toji("reset", "one")
    assert tag not in site.client("list-tags").stdout
    site.toji("scale", "kojibuilder=2")
    site.toji("wait")
    assert site.status()["kojibuilder-2"]["image"] == "koji-builder"
    site.toji("scale", "kojibuilder=1")
    site.toji("stop")
    site.toji("start")
    site.toji("wait")


def copied(site: Site, backup: Path) -> None:
    """A backup becomes a system beside the first."""
    site.toji("backup", str(backup))
    copy = replace(site, system="copy")
    copy.toji("restore", str(backup))
    tagged = [each.client("list-tagged", "demo-build").stdout for each in (site, copy)]
    assert "demo-gcc-12-1" in tagged[0]
    assert tagged[0] == tagged[1]
    copy.toji("remove")


def killed(site: Site, restarts: bool) -> None:
    """The engine starts what has died; where it cannot, toji says so and does it."""
    container = f"{site.system}-kojibuilder"

    def inspected(key: str) -> str:
        command = ("docker", "inspect", "--format", f"{{{{.State.{key}}}}}", container)
        return site.run(*command).stdout.strip()

    assert site.engine
    before = inspected("StartedAt")
    namespace = ("nsenter", f"--target={site.engine.pid}", "--pid")
    site.run(*namespace, "kill", "-KILL", inspected("Pid"))
    if not restarts:
        wait_until(lambda: inspected("Status") == "exited", 30, "the builder has ended")
        assert "kojibuilder" in site.toji("wait", "--timeout=20", check=False).stderr
        site.toji("up")
    wait_until(lambda: inspected("StartedAt") != before, 60, "the builder was started again")
    site.toji("wait")


@pytest.mark.parametrize("name", ENGINES)
def test_the_commands(
    name: str, bridge: Bridge, context: Path, declaration: Declaration, tmp_path: Path
) -> None:
    kind, suite = ENGINES[name]
    root = debian_root(suite)
    podman = kind in (Podman, RootlessPodman)
    number = version(root, "podman" if podman else "docker.io")
    # Podman before 5.1 cannot change a restart policy.
    restarts = not podman or tuple(map(int, number.split(".")[:2])) >= (5, 1)
    with kind("engine", bridge, root=root) as engine:
        environment = {"DOCKER_HOST": engine.address}
        site = Site("pod", tmp_path / "home", context, environment, engine)
        site.home.mkdir()
        before = site.left()
        assert f"{'Podman' if podman else 'Docker'} {number}" in site.toji("doctor").stdout
        names = [name for name, image in declaration.images.items() if not image.system]
        engine.load(connect().address, *names, declaration.base.image)
        # Under another id of its base, an image is another one.
        same_ids = kind is not CONTAINERD_ENGINE
        images(site, names, context.parent / CHANGED, same_ids=same_ids)
        life(site, "mistake")
        copied(site, tmp_path / "koji.tar")
        killed(site, restarts)
        site.toji("remove")
        assert site.left() == before
