"""Starting a throwaway Koji, and removing it.

    with running_koji() as koji:
        koji.session().createTag("candidate")

nagoya/testing/pytest_plugin.py has the same as fixtures. docs/testing.md describes both.
"""

import secrets
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import yaml

from nagoya.build.builder import Build
from nagoya.config import loader
from nagoya.config.declaration import Declaration
from nagoya.engine import Engine, connect
from nagoya.engine import images as engine_images
from nagoya.errors import LifecycleError
from nagoya.koji.hub import HubConnection
from nagoya.system import snapshots
from nagoya.system.owner import Owner
from nagoya.system.readiness import WAIT_SECONDS
from nagoya.system.system import System
from nagoya.testing.instance import Koji
from nagoya.utils.lock import locked
from nagoya.utils.progress import Progress


def _print(text: str) -> None:
    print(f"nagoya: {text}", file=sys.stderr)


@contextmanager
def running_koji(
    config: Path | None = None,
    *,
    images: Mapping[str, str] | None = None,
    prefix: str = "test",
    folder: Path | None = None,
    keep_on_failure: bool = False,
    seconds: float = WAIT_SECONDS,
    on_message: Callable[[str], None] = _print,
) -> Iterator[Koji]:
    """Start a Koji, wait until it is ready, and remove it at the end.

    `config` is a moromi.yml; the default is the one in the current folder, or else Nagoya's own.
    `images` maps its containers to other images than it names. Images that the engine lacks are
    built. The system's name is `prefix` and random digits. `folder` is for its home folder and for
    reports; the default is a temporary one. Raises NagoyaError if it does not start, with a note
    that names the report on that if the hub had come up.
    """
    engine, progress = connect(), Progress(quiet=True)
    declared = loader.read(loader.locate(config))
    work = folder or Path(tempfile.mkdtemp(prefix="nagoya-"))
    home = work / "home"
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    if images:
        declared = _with_images(declared, images, work)
    _build_missing_images(engine, declared, on_message)
    name = f"{prefix}-{secrets.token_hex(4)}"
    system = System(engine, declared, name, progress, Owner.this_process(home))
    koji: Koji | None = None
    try:
        system.init()
        koji = Koji(system, HubConnection.of(system), home, work / "reports")
        snapshots.wait_and_snapshot(system, seconds)
        # Fails here, rather than in a test, where the ports cannot be reached.
        koji.session()
        yield koji
    except Exception as error:
        if koji is not None:
            error.add_note(_write_report(koji, f"{name}-failed"))
            if keep_on_failure:
                on_message(koji.keep())
        raise
    finally:
        if koji is None or not koji.kept:
            system.remove()
            shutil.rmtree(home)
        if folder is None and not any(work.iterdir()):
            work.rmdir()


def _write_report(koji: Koji, name: str) -> str:
    try:
        return f"report: {koji.report(name)}"
    except Exception as error:  # the error before it is the one to report
        return f"no report could be written: {error}"


def _with_images(declared: Declaration, images: Mapping[str, str], folder: Path) -> Declaration:
    """A declaration with other images in some containers. Raises LifecycleError."""
    unknown = sorted(set(images) - set(declared.containers))
    if unknown:
        raise LifecycleError(
            f"{declared.path} declares no container {', '.join(unknown)}",
            f"it declares {', '.join(declared.containers)}",
        )
    path = folder / "moromi.yml"
    containers = {name: {"image": image} for name, image in images.items()}
    path.write_text(yaml.safe_dump({"extends": str(declared.path), "containers": containers}))
    return loader.read(path)


def _build_missing_images(
    engine: Engine, declared: Declaration, on_message: Callable[[str], None]
) -> None:
    """Build the images that the engine lacks, in one process; others wait for it."""

    def missing() -> list[str]:
        used = {container.image for container in declared.containers.values()}
        return sorted(name for name in used if not engine_images.exists(engine, name))

    if missing():
        waiting = "another process is building the images; waiting"
        with locked("images", lambda: on_message(waiting)):
            names = missing()
            if names:
                on_message(f"building {', '.join(names)}, once; this takes minutes")
                Build(engine, declared, names).run()
