"""Build images from a temporary system: start, fill and stop it, then commit its containers and
persist their volumes. The system is removed in any case."""

import hashlib
import json
import re
import secrets
import tarfile
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from nagoya import __version__
from nagoya.build.download import file_sha256
from nagoya.build.provisioner import pack_files, run_provisioner
from nagoya.build.volume_archive import (
    EMBEDDED_LABEL,
    VolumeSelection,
    build_context,
    repack,
    select_volumes,
)
from nagoya.config.declaration import Declaration
from nagoya.config.model import SystemImages
from nagoya.engine import Engine, Handle, containers, image_builds, transfer
from nagoya.engine import images as engine_images
from nagoya.errors import BuildError, EngineError, LifecycleError, NagoyaError, NotReady
from nagoya.koji import seed
from nagoya.koji.hub import hub_errors
from nagoya.system import readiness
from nagoya.system.backup import PRIVATE_LABEL
from nagoya.system.owner import Owner
from nagoya.system.system import System, require_system
from nagoya.utils.progress import Progress, State

_READY_SECONDS = 180.0
_ABANDON_SECONDS = 60.0
_PAUSE = 0.5


@dataclass
class SystemImageBuild:
    """Builds the images of an entry from a system of the declaration `source`.

    The paths of the entry are relative to `folder`.
    """

    engine: Engine
    name: str
    wanted: SystemImages
    folder: Path
    source: Declaration
    progress: Progress
    stop: threading.Event
    _system: System | None = field(default=None, init=False)
    _ended: threading.Event = field(default_factory=threading.Event, init=False)

    def inputs(self) -> str:
        """A digest of everything that the images are made from."""
        declared = {
            name: (engine_images.image_id(self.engine, item.image), item.model_dump(mode="json"))
            for name, item in self.source.containers.items()
        }
        root = self.wanted.root
        parts = [
            __version__,
            self.wanted.model_dump(mode="json"),
            declared,
            root and engine_images.image_id(self.engine, root.image),
            hashlib.sha256(self._root_files()).hexdigest() if root else None,
            _seed_digests(self.folder / self.wanted.seed) if self.wanted.seed else None,
        ]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    def run(self, inputs: str) -> None:
        """Build the images and name them at the very end. Raises BuildError."""
        try:
            self._check()
            with tempfile.TemporaryDirectory(prefix="nagoya-") as home:
                short = re.sub(r"[^a-z0-9]+", "-", self.name)[:24].strip("-")
                self._system = system = System(
                    self.engine,
                    self.source.with_free_ports(),
                    f"build-{short}-{secrets.token_hex(3)}",
                    PrefixedProgress(self.progress, self.name),
                    Owner.this_process(Path(home)),
                )
                try:
                    self._fill(system)
                    self._make(system, inputs)
                finally:
                    self._remove(system)
        finally:
            self._ended.set()

    def abandon(self) -> None:
        """End `run`, which runs in another thread, and wait up to a minute until it has.

        Whatever `run` waits for ends with its containers. They are removed without the system's
        lock, which `run` holds, and repeatedly, since it may be creating one.
        """
        self.stop.set()
        for _ in range(int(_ABANDON_SECONDS / _PAUSE)):
            if self._system is None or self._ended.is_set():
                return
            self._system.interrupted.set()
            for handle in containers.list_system(self.engine, self._system.name):
                containers.remove(handle)
            self._ended.wait(_PAUSE)

    def _check(self) -> None:
        """Check that there is something to persist, and that its secrets can be left out."""
        for name, image in self.wanted.persist.items():
            used = self.source.containers[name].image
            config = engine_images.inspect(self.engine, used)["Config"]
            if not config.get("Volumes"):
                raise BuildError(
                    f"persist.{name}: {used} has no volume, so {image} would contain nothing",
                    "commit saves what is outside of volumes",
                )
            embedded = (config.get("Labels") or {}).get(EMBEDDED_LABEL)
            if embedded and not self.wanted.secrets:
                raise BuildError(
                    f"persist.{name}: {used} itself contains secrets ({embedded}), which {image} "
                    "could only hide",
                    "start the container from an image without secrets, or set `secrets: true`",
                )

    def _fill(self, system: System) -> None:
        with self._phase("starting the system"):
            system.init()
        with self._phase("waiting until it is ready"):
            readiness.wait(system, _READY_SECONDS)
        if self.wanted.seed:
            with self._phase(f"seeding it with {self.wanted.seed}"), hub_errors():
                seed.apply_seed(system, seed.read_seed(self.folder / self.wanted.seed))
        if self.wanted.root:
            with self._phase(f"running {' '.join(self.wanted.root.entrypoint)}"):
                run_provisioner(
                    system,
                    self.wanted.root,
                    self._root_files(),
                    lambda line: self.progress.output(self.name, line),
                    self.stop,
                )
        with self._phase("stopping the system"):
            system.stop(pre_commit=True)

    def _root_files(self) -> bytes:
        files = self.wanted.root and self.wanted.root.files
        return pack_files(self.folder / files if files else None)

    @contextmanager
    def _phase(self, what: str) -> Iterator[None]:
        """Show a phase; its errors name it."""
        if self.stop.is_set():
            raise BuildError("interrupted")
        self.progress.update(self.name, "working", what)
        try:
            yield
        except (LifecycleError, NotReady) as error:
            # Its hint is for a system that is not removed.
            raise BuildError(f"{what}: {error.message}") from error
        except NagoyaError as error:
            raise BuildError(f"{what}: {error.message}", error.hint) from error

    def _make(self, system: System, inputs: str) -> None:
        """Commit and persist, which may fail, and name the images at the end."""
        created = datetime.now(UTC).isoformat(timespec="seconds")
        handles = require_system(self.engine, system.name)
        with ExitStack() as stack:
            committed: dict[str, str] = {}
            for name, image in self.wanted.commit.items():
                with self._phase(f"committing {name}"):
                    labels = _labels(image, inputs, created)
                    committed[image] = image_builds.commit(handles[name], labels)
                    stack.callback(engine_images.remove_unnamed, self.engine, committed[image])
            packed: dict[str, tuple[str, str, IO[bytes]]] = {}
            for name, image in self.wanted.persist.items():
                with self._phase(f"persisting {name}"):
                    handle = handles[name]
                    selection = self._select(handle, name, image)
                    volumes: IO[bytes] = stack.enter_context(tempfile.TemporaryFile())
                    _pack(handle, selection, volumes)
                    parent = containers.state(handle, reload=False).image_id
                    packed[image] = (parent, selection.dockerfile(parent), volumes)
            with self._phase("naming the images"):
                for image, (parent, dockerfile, volumes) in packed.items():
                    labels = _labels(image, inputs, created)
                    context = build_context(dockerfile, volumes)
                    lines = image_builds.build_child(self.engine, image, parent, context, labels)
                    for line in lines:
                        self.progress.output(self.name, line)
                for image, image_id in committed.items():
                    engine_images.tag(self.engine, image_id, image)

    def _select(self, handle: Handle, name: str, image: str) -> VolumeSelection:
        """Select the volumes that an image holds, and report the secrets in them."""
        private = json.loads(containers.label(handle, PRIVATE_LABEL) or "[]")
        selection = select_volumes(
            containers.volume_paths(handle), private, keep_secrets=self.wanted.secrets
        )
        if selection.embedded:
            self.progress.log(
                f"{image} CONTAINS SECRETS: {', '.join(selection.embedded)} of {name}. Anybody "
                "with the image can read them, and all systems made from it share them. "
                "`secrets: false` leaves them out."
            )
        elif private and not self.wanted.secrets:
            self.progress.log(
                f"{image} does not contain the secrets in {', '.join(private)}: "
                "every system created from it makes its own"
            )
        return selection

    def _remove(self, system: System) -> None:
        try:
            system.remove()
        except NagoyaError as error:
            self.progress.log(f"{error}\n  `toji remove --stale` removes it once this has ended")


def _labels(image: str, inputs: str, created: str) -> Mapping[str, str]:
    return {
        engine_images.IMAGE_LABEL: image,
        engine_images.INPUTS_LABEL: inputs,
        engine_images.CREATED_LABEL: created,
        engine_images.TITLE_LABEL: image,
    }


def _pack(handle: Handle, selection: VolumeSelection, output: IO[bytes]) -> None:
    with tarfile.open(fileobj=output, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for path in selection.paths:
            try:
                repack(transfer.read_chunks(handle, path), path, selection.left_out, archive)
            except tarfile.TarError as error:
                raise EngineError(f"reading {path} of {handle.name}: {error}") from error


def _seed_digests(path: Path) -> list[str]:
    """The digests of a seed and of the local files that it imports."""
    imports = seed.read_seed(path).imports.values()
    patterns = [rpm for item in imports if item.container is None for rpm in item.rpms]
    files = [path, *(file for rpm in patterns for file in sorted(path.parent.glob(rpm)))]
    return [file_sha256(file) for file in files]


class PrefixedProgress(Progress):
    """Shows the progress of a temporary system as the output of a single name."""

    def __init__(self, progress: Progress, name: str) -> None:
        super().__init__(quiet=True)
        self._progress = progress
        self._name = name

    def update(self, name: str, state: State, detail: str = "") -> None:
        self._progress.output(self._name, f"{name}: {detail or state}")

    def output(self, name: str, text: str) -> None:
        self._progress.output(self._name, f"{name}: {text}")

    def log(self, text: str) -> None:
        self._progress.output(self._name, text)
