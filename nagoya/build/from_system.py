"""Images made from a live system: it is started for them, filled, stopped, and its containers are
committed and persisted. Whatever happens, it is taken down again."""

import hashlib
import io
import json
import re
import secrets
import tarfile
import tempfile
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from nagoya import __version__
from nagoya.config.declaration import Declaration
from nagoya.config.model import Provisioner, SystemImages
from nagoya.engine import Engine, Handle, archive, containers, volumes
from nagoya.engine import images as engine_images
from nagoya.engine.archive import Layer, Remade
from nagoya.engine.containers import CONTAINER_LABEL, SYSTEM_LABEL, Specification
from nagoya.errors import BuildError, LifecycleError, NagoyaError, NotReady
from nagoya.koji import seed
from nagoya.koji.hub import hub_errors
from nagoya.system import readiness
from nagoya.system.owner import Owner
from nagoya.system.system import System
from nagoya.utils.progress import Progress, State

PRIVATE_LABEL = "nagoya.private"
"""On an image: the paths in its volumes that hold what no image should, as a JSON list."""
EMBEDDED_LABEL = "nagoya.private.embedded"
"""On an image that holds such a thing all the same: those paths, as a JSON list."""
FILES = "/srv/moromi"
"""Where a root container has its files, and where its program runs."""

_ROOT = "moromi-root"
_READY_SECONDS = 180.0
_PAUSE = 0.2
_LAST_LINES = 20


@dataclass
class SystemImageBuild:
    """The making of one declared entry's images; `starts` is the declaration of its system.

    `folder` is where the paths of the entry lead from.
    """

    engine: Engine
    name: str
    live: SystemImages
    folder: Path
    starts: Declaration
    progress: Progress
    stop: threading.Event
    _system: System | None = field(default=None, init=False)
    _over: threading.Event = field(default_factory=threading.Event, init=False)

    def inputs(self) -> str:
        """The digest of all that the images are made from."""
        started = {
            name: (engine_images.image_id(self.engine, one.image), one.model_dump(mode="json"))
            for name, one in self.starts.containers.items()
        }
        root = self.live.root
        told = [
            __version__,
            self.live.model_dump(mode="json"),
            started,
            root and engine_images.image_id(self.engine, root.image),
            hashlib.sha256(self._files(root)).hexdigest() if root else None,
            _digests(self.folder / self.live.seed) if self.live.seed else None,
        ]
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()

    def run(self, inputs: str) -> None:
        """Make the images; each gets its name at the very end. Raises BuildError."""
        try:
            self._check()
            with tempfile.TemporaryDirectory(prefix="nagoya-") as home:
                short = re.sub(r"[^a-z0-9]+", "-", self.name)[:24].strip("-")
                self._system = system = System(
                    self.engine,
                    self.starts.with_free_ports(),
                    f"build-{short}-{secrets.token_hex(3)}",
                    PrefixedProgress(self.progress, self.name),
                    Owner.this_process(Path(home)),
                )
                try:
                    self._fill(system)
                    self._make(system, inputs)
                finally:
                    self._take_down(system)
        finally:
            self._over.set()

    def abandon(self) -> None:
        """Take the system down under the hands of `run`, which is to stop, and wait for its end."""
        if self._system is not None and not self._over.is_set():
            self._take_down(self._system)
            self._over.wait(60)

    def _check(self) -> None:
        """See that there is something to persist, and that secrets can be left out."""
        for name, image in self.live.persist.items():
            used = self.starts.containers[name].image
            config = engine_images.inspect(self.engine, used)["Config"]
            if not config.get("Volumes"):
                raise BuildError(
                    f"persist.{name}: {used} has no volume, so nothing would be in {image}",
                    "commit saves what is outside of volumes",
                )
            carried = (config.get("Labels") or {}).get(EMBEDDED_LABEL)
            if carried and not self.live.secrets:
                raise BuildError(
                    f"persist.{name}: {used} itself holds what is secret ({carried}), which "
                    f"{image} could only hide",
                    "start it of an image without, or say `secrets: true`",
                )

    def _fill(self, system: System) -> None:
        with self._phase("starting the system"):
            system.init()
        with self._phase("waiting until it is ready"):
            readiness.wait(system, _READY_SECONDS)
        if self.live.seed:
            with self._phase(f"seeding it with {self.live.seed}"), hub_errors():
                seed.apply_seed(system, seed.read_seed(self.folder / self.live.seed))
        if self.live.root:
            with self._phase(f"running {' '.join(self.live.root.entrypoint)}"):
                self._run_root(system, self.live.root)
        with self._phase("stopping the system"):
            system.stop(tidy=True)

    @contextmanager
    def _phase(self, what: str) -> Iterator[None]:
        """One phase, told; an error in it says so."""
        if self.stop.is_set():
            raise BuildError("interrupted")
        self.progress.update(self.name, "working", what)
        try:
            yield
        except (LifecycleError, NotReady) as error:
            # What it advises is for a system that stays.
            raise BuildError(f"{what}: {error.message}") from error
        except NagoyaError as error:
            raise BuildError(f"{what}: {error.message}", error.hint) from error

    def _run_root(self, system: System, root: Provisioner) -> None:
        handle = containers.create(
            self.engine,
            Specification(
                name=f"{system.name}-{_ROOT}",
                image=root.image,
                hostname=_ROOT,
                network=system.name,
                labels={
                    SYSTEM_LABEL: system.name,
                    CONTAINER_LABEL: _ROOT,
                    **system.owner.labels,
                },
                command=(),
                environment=root.environment,
                ports={},
                volumes_from=[
                    f"{system.name}-{one.container}:{one.mode}" for one in root.volumes_from
                ],
                cap_add=(),
                cap_drop=(),
                security_opt=(),
                stop_timeout=1,
                entrypoint=root.entrypoint,
                working_dir=FILES,
            ),
        )
        containers.write_files(handle, "/", self._files(root))
        containers.start(handle)
        last: deque[str] = deque(maxlen=_LAST_LINES)

        def listen() -> None:
            for line in containers.log(handle, follow=True):
                last.append(line)
                self.progress.output(self.name, line)

        listener = threading.Thread(target=listen, daemon=True)
        listener.start()
        ending = self._ending(handle, root.timeout)
        listener.join(5)
        if ending is not None:
            raise BuildError(
                "".join([f"{ending}", *(f"\n    {line}" for line in last)]),
                "`moromi -v build` shows all that it prints",
            )
        containers.remove(handle)

    def _ending(self, handle: Handle, seconds: float) -> str | None:
        """Wait for a root's end; what is wrong with it."""
        deadline = time.monotonic() + seconds
        while True:
            state = containers.state(handle)
            if not state.running:
                return f"ended with status {state.exit_code}" if state.exit_code else None
            if self.stop.is_set():
                raise BuildError("interrupted")
            if time.monotonic() > deadline:
                return f"not at its end after {seconds:.0f} s"
            time.sleep(_PAUSE)

    def _files(self, root: Provisioner) -> bytes:
        """The root's files as an archive that is the same wherever they lie."""
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as made:
            folder = self.folder / (root.files or "")
            paths = [folder, *sorted(folder.rglob("*"))] if root.files else []
            for path in paths:
                place = Path(FILES.lstrip("/"), path.relative_to(folder))
                member = made.gettarinfo(path, str(place))
                member.mtime = member.uid = member.gid = 0
                member.uname = member.gname = ""
                member.mode = 0o755 if member.mode & 0o100 or not member.isreg() else 0o644
                made.addfile(member, io.BytesIO(path.read_bytes()) if member.isreg() else None)
        return packed.getvalue()

    def _make(self, system: System, inputs: str) -> None:
        created = datetime.now(UTC).isoformat(timespec="seconds")
        labels = {engine_images.INPUTS_LABEL: inputs, engine_images.CREATED_LABEL: created}
        sources: list[str] = []
        made: list[Remade] = []
        with ExitStack() as stack:
            for name, image in self.live.commit.items():
                with self._phase(f"committing {name}"):
                    handle = containers.get(self.engine, f"{system.name}-{name}")
                    sources.append(engine_images.commit(handle))
                    stack.callback(engine_images.remove, self.engine, sources[-1])
                    made.append(self._remade(handle, image, sources[-1], labels))
            for name, image in self.live.persist.items():
                with self._phase(f"persisting {name}"):
                    handle = containers.get(self.engine, f"{system.name}-{name}")
                    sources.append(containers.state(handle, reload=False).image_id)
                    choice = self._choice(handle, name, image)
                    packed = stack.enter_context(tempfile.TemporaryFile())
                    layer = self._layer(system, handle, choice, packed)
                    told = labels | choice.labels
                    made.append(self._remade(handle, image, sources[-1], told, layer))
            saved = stack.enter_context(tempfile.TemporaryFile())
            remade = stack.enter_context(tempfile.TemporaryFile())
            with self._phase("saving the images"):
                engine_images.save(self.engine, list(dict.fromkeys(sources)), saved)
                saved.seek(0)
                archive.rewrite(saved, made, remade, created)
            with self._phase("loading the images"):
                remade.seek(0)
                engine_images.load(self.engine, remade)

    def _remade(
        self,
        handle: Handle,
        image: str,
        source: str,
        labels: Mapping[str, str],
        layer: Layer | None = None,
    ) -> Remade:
        """An image of the layers of `source`, which begins as the image that a container was made
        of: a commit's own settings are the container's, with the names and ports of its system."""
        made_of = containers.state(handle, reload=False).image_id
        config = engine_images.inspect(self.engine, made_of)["Config"]
        own = {engine_images.IMAGE_LABEL: image, engine_images.TITLE_LABEL: image, **labels}
        return Remade(
            image,
            tuple(engine_images.inspect(self.engine, source)["RootFS"]["Layers"]),
            {**config, "Labels": {**(config["Labels"] or {}), **own}},
            f"{engine_images.LIVE_COMMENT}, {self.name}",
            layer,
        )

    def _choice(self, handle: Handle, name: str, image: str) -> "_Choice":
        """What of a container's volumes becomes part of an image, and tells about secrets."""
        paths = volumes.own(handle)
        secret = json.loads(containers.label(handle, PRIVATE_LABEL) or "[]")
        choice = _choice(paths, secret, keep=self.live.secrets)
        if choice.carried:
            self.progress.log(
                f"{image} CARRIES SECRETS: {', '.join(choice.carried)} of {name}. Whoever has the "
                "image has them too, and all systems made of it share them. "
                "`secrets: false` leaves them out."
            )
        elif secret and not self.live.secrets:
            self.progress.log(
                f"{image} is without {', '.join(secret)}, which is secret: "
                "every system that is made of it makes its own"
            )
        return choice

    def _layer(
        self, system: System, handle: Handle, choice: "_Choice", packed: IO[bytes]
    ) -> Layer | None:
        if not choice.paths:
            return None
        volumes.pack(
            handle,
            f"{handle.name}-volumes",
            choice.paths,
            left_out=choice.left_out,
            labels={SYSTEM_LABEL: system.name, **system.owner.labels},
            output=packed,
        )
        return Layer.of(packed)

    def _take_down(self, system: System) -> None:
        try:
            system.remove()
        except NagoyaError as error:
            self.progress.log(f"{error}\n  `toji remove --stale` removes it once this has ended")


@dataclass(frozen=True)
class _Choice:
    """Which volumes are persisted, what of them is left out, and what is secret in the rest."""

    paths: tuple[str, ...]
    left_out: tuple[str, ...]
    carried: tuple[str, ...]

    @property
    def labels(self) -> dict[str, str]:
        return {EMBEDDED_LABEL: json.dumps(self.carried)} if self.carried else {}


def _choice(paths: Sequence[str], secret: Sequence[str], *, keep: bool) -> _Choice:
    def covers(folder: str, path: str) -> bool:
        return path == folder or volumes.within(path, folder)

    if keep:
        carried = [s for s in secret if any(covers(p, s) or covers(s, p) for p in paths)]
        return _Choice(tuple(paths), (), tuple(carried))
    kept = [path for path in paths if not any(covers(one, path) for one in secret)]
    left_out = [one for one in secret if any(covers(path, one) for path in kept)]
    return _Choice(tuple(kept), tuple(left_out), ())


def _digests(path: Path) -> list[str]:
    """What a seed's content is: its own, and that of the files of this machine that it imports."""
    imports = [one for one in seed.read_seed(path).ours if isinstance(one, seed.Import)]
    patterns = [rpm for one in imports if one.container is None for rpm in one.rpms]
    files = [path, *(file for rpm in patterns for file in sorted(path.parent.glob(rpm)))]
    return [hashlib.sha256(file.read_bytes()).hexdigest() for file in files]


class PrefixedProgress(Progress):
    """The progress of a temporary system, shown as output of one name of another."""

    def __init__(self, progress: Progress, name: str) -> None:
        super().__init__(quiet=True)
        self._told = progress
        self._as = name

    def update(self, name: str, state: State, detail: str = "") -> None:
        self._told.output(self._as, f"{name}: {detail or state}")

    def output(self, name: str, text: str) -> None:
        self._told.output(self._as, f"{name}: {text}")

    def log(self, text: str) -> None:
        self._told.output(self._as, text)
