"""A Koji of one's own for a while, to test against what talks to Koji.

    with running_koji() as koji:
        koji.session().createTag("mine")

With pytest, the fixtures of nagoya/testing/pytest_plugin.py do the same. See docs/testing.md.
"""

import secrets
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from nagoya.build import builder
from nagoya.config import loader
from nagoya.config.declaration import Declaration
from nagoya.engine import Engine, connect
from nagoya.engine import images as engine_images
from nagoya.errors import LifecycleError
from nagoya.koji import report, users
from nagoya.koji.hub import HubConnection, koji_module
from nagoya.system import snapshots
from nagoya.system.owner import Owner
from nagoya.system.system import System
from nagoya.utils.lock import locked
from nagoya.utils.progress import Progress

ADMIN = "kojiadmin"


@dataclass(repr=False)
class Koji:
    """A running Koji that is nobody else's.

    `home` is a folder whose .koji/ holds the client's profile and all credentials: the user's own
    ~/.koji is never touched. `reports` is where reports on failures go.
    """

    system: System
    access: HubConnection
    home: Path
    reports: Path
    kept: bool = field(default=False, init=False)
    _certificates: dict[str, Path] = field(default_factory=dict, init=False)

    def __repr__(self) -> str:
        return f"<Koji {self.name} at {self.url}>"

    @property
    def name(self) -> str:
        """The system's name, for `toji --system NAME`."""
        return self.system.name

    @property
    def url(self) -> str:
        """The hub's URL, as in https://127.0.0.1:12345/kojihub."""
        return self.access.urls["hub"]

    @property
    def web_url(self) -> str:
        """kojiweb's URL."""
        return self.access.urls["web"]

    @property
    def files_url(self) -> str:
        """The URL of Koji's top directory."""
        return self.access.urls["files"]

    @property
    def profile(self) -> str:
        """The name of the koji client's profile for kojiadmin."""
        return self.access.profile

    @property
    def profile_file(self) -> Path:
        """The configuration that holds the profile, as for `koji --config FILE -p PROFILE`."""
        return self.home / ".koji" / "config.d" / f"{self.profile}.conf"

    @property
    def ca(self) -> Path:
        """The certificate of the authority that the hub's certificate is from."""
        return self.access.ca

    def certificate(self, user: str = ADMIN) -> Path:
        """A user's key and certificate in one file; whoever is no user yet becomes one."""
        if user == ADMIN:
            return self.access.certificate
        if user not in self._certificates:
            self._certificates[user] = users.add(self.system, user)
        return self._certificates[user]

    def session(self, user: str | None = ADMIN) -> Any:
        """A new `koji.ClientSession`, logged in as that user, or as nobody where it is None."""
        if user is None:
            return koji_module().ClientSession(
                self.url, opts={"serverca": str(self.ca), "max_retries": 3, "retry_interval": 1}
            )
        return replace(self.access, certificate=self.certificate(user)).session()

    def snapshot(self, name: str) -> None:
        """Keep its state under a name, for `reset` to go back to."""
        snapshots.save(self.system, name)

    def reset(self, name: str = snapshots.PRISTINE) -> None:
        """Bring it back to a state that was kept; by default, to the one that it began with.

        It takes a second or two. URLs and certificates stay valid, and so does every session of a
        user whom that state knows.
        """
        snapshots.reset(self.system, name)
        # Users are part of the state; `certificate` sees to it that each is there.
        self._certificates.clear()

    def report(self, name: str) -> Path:
        """Write all that helps to understand a failure into one archive; see `toji report`."""
        self.reports.mkdir(parents=True, exist_ok=True)
        path = self.reports / f"{name}.tar.gz"
        report.write_report(self.system, path)
        return path

    def keep(self) -> str:
        """Let it stay when it would be removed; what to tell whoever is to look at it."""
        self.kept = True
        return (
            f"{self.name} is kept: `toji --system {self.name} status`, "
            f"and `toji --system {self.name} remove` in the end"
        )


def _tell(text: str) -> None:
    print(f"nagoya: {text}", file=sys.stderr)


@contextmanager
def running_koji(
    config: Path | None = None,
    *,
    images: Mapping[str, str] | None = None,
    prefix: str = "test",
    folder: Path | None = None,
    keep_on_failure: bool = False,
    seconds: float = 180,
    tell: Callable[[str], None] = _tell,
) -> Iterator[Koji]:
    """Start a Koji, wait until it is ready, and remove it in the end.

    `config` is a moromi.yml (the one in the current folder or Nagoya's own, unless given), and
    `images` maps containers of it to other images than it says. Images that the engine does not
    have are built. Its name is `prefix` and something random. `folder` is for its home folder and
    for reports; a temporary one unless given. Raises NagoyaError where it does not come up, with a
    note of where the report on that is if it came so far as to have a hub.
    """
    engine, progress = connect(), Progress(quiet=True)
    declared = loader.read(loader.locate(config))
    _have_images(engine, declared, images or {}, tell)
    own = folder or Path(tempfile.mkdtemp(prefix="nagoya-"))
    home = own / "home"
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    if images:
        declared = _with_images(declared, images, own)
    name = f"{prefix}-{secrets.token_hex(4)}"
    system = System(engine, declared, name, progress, Owner.this_process(home))
    koji: Koji | None = None
    try:
        system.init()
        koji = Koji(system, HubConnection.to(name, home), home, own / "reports")
        snapshots.wait_and_snapshot(system, seconds)
        yield koji
    except Exception as error:
        if koji is not None:
            error.add_note(_reported(koji, f"{name}-failed"))
            if keep_on_failure:
                tell(koji.keep())
        raise
    finally:
        if koji is None or not koji.kept:
            system.remove()
            shutil.rmtree(home)
        if folder is None and not any(own.iterdir()):
            own.rmdir()


def _reported(koji: Koji, name: str) -> str:
    try:
        return f"report: {koji.report(name)}"
    except Exception as error:  # what went wrong before is what has to be told
        return f"no report could be written: {error}"


def _have_images(
    engine: Engine, declared: Declaration, others: Mapping[str, str], tell: Callable[[str], None]
) -> None:
    """Build the images that are missing; only one process does, whoever else waits for it."""
    unknown = sorted(set(others) - set(declared.containers))
    if unknown:
        raise LifecycleError(
            f"{declared.path} declares no container {', '.join(unknown)}",
            f"it declares {', '.join(declared.containers)}",
        )

    def missing() -> list[str]:
        used = {name: one.image for name, one in declared.containers.items()} | dict(others)
        return sorted(one for one in set(used.values()) if not engine_images.exists(engine, one))

    if missing():
        with locked("images", lambda: tell("another process builds the images; waiting")):
            wanted = missing()
            if wanted:
                tell(f"building {', '.join(wanted)}, once; that takes minutes")
                builder.build(engine, declared, wanted, Progress(quiet=True))


def _with_images(declared: Declaration, others: Mapping[str, str], folder: Path) -> Declaration:
    """The same with other images in some containers."""
    path = folder / "moromi.yml"
    changed = {name: {"image": image} for name, image in others.items()}
    path.write_text(yaml.safe_dump({"extends": str(declared.path), "containers": changed}))
    return loader.read(path)
