"""moromi.yml: read safely, validated whole, then frozen.

Every problem is reported at once, each with its path (`containers.koji.links[0]: unknown
container 'x'`). Code that gets a `Declaration` never sees a raw dictionary.
"""

import copy
import importlib
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from nagoya import __version__
from nagoya.config import extends
from nagoya.config.extends import INSTALLED, MergedConfig
from nagoya.config.model import Container, File, Live, Port
from nagoya.config.validation import describe_errors
from nagoya.errors import DeclarationError, did_you_mean
from nagoya.utils.graph import Cycle, waves
from nagoya.utils.lock import cache_folder


class Declaration:
    """A validated moromi.yml, joined with those that it extends.

    `path` is the file that was asked for, the first of `files`. `callbacks` holds what every
    callback's dotted name stands for, `source_dirs` the folder in which each source is src/NAME,
    `given` which of `images` each image comes of that is made from a live system.
    """

    def __init__(
        self, file: File, joined: MergedConfig, callbacks: Mapping[str, Callable[..., None]]
    ):
        self.files = joined.files
        self.path = joined.files[0]
        self.base = file.base
        self.images = file.images
        self.containers = file.containers
        self.callbacks = callbacks
        self.given = {
            image: name
            for name, one in file.images.items()
            if one.system
            for image in one.system.gives
        }
        self._contexts = {name: joined.folder("images", name) for name in file.images}
        self._started = {
            name: _started(joined, name, one.system)
            for name, one in file.images.items()
            if one.system
        }
        self.sources = {}
        self.source_dirs = {}
        for name, source in file.sources.items():
            folder = joined.folder("sources", name)
            self.sources[name] = source.beside(folder)
            # In an installed package nobody should write.
            in_package = folder == INSTALLED
            self.source_dirs[name] = cache_folder() / __version__ if in_package else folder

    def context(self, image: str) -> Path:
        """An image's build context, but for src/: the folder of the file that names the image."""
        return self._contexts[image]

    def dockerfile(self, image: str) -> Path:
        """Where an image's Dockerfile is."""
        return self.context(image) / (self.images[image].folder or image) / "Dockerfile"

    def system_config_for(self, image: str) -> "Declaration":
        """The declaration whose containers are started to make images. Raises DeclarationError."""
        path = self._started[image]
        if path == self.path:
            return self
        try:
            return read(path)
        except DeclarationError as error:
            raise DeclarationError(
                str(self.path), [f"{path}: {problem}" for problem in error.problems]
            ) from None

    def with_free_ports(self) -> "Declaration":
        """The same without a fixed port of this machine, which another system may have."""
        other = copy.copy(self)
        other.containers = {
            name: one.model_copy(
                update={"ports": tuple(Port(container=port.container) for port in one.ports)}
            )
            for name, one in self.containers.items()
        }
        return other


def locate(path: Path | None) -> Path:
    """The moromi.yml to use: the one given, by its path or as Nagoya's own are named, else this
    folder's, else Nagoya's own."""
    here = Path(extends.FILE)
    if path is not None:
        return extends.named(str(path), Path())
    return here if here.exists() else extends.shipped()


def _started(joined: MergedConfig, image: str, live: Live) -> Path:
    """The file whose containers a live system has."""
    file = joined.file("images", image)
    return extends.named(live.containers, file.parent).resolve() if live.containers else file


def read(path: Path) -> Declaration:
    """Read and validate a moromi.yml; raises DeclarationError with every problem found."""
    joined = extends.read(path)
    file, problems = _validated(joined.raw)
    callbacks: dict[str, Callable[..., None]] = {}
    if file is not None:
        callbacks, unresolved = _resolved(file, joined)
        problems += [*_references(file, joined), *unresolved]
    if problems or file is None:
        raise DeclarationError(str(path), [joined.told(problem) for problem in problems])
    return Declaration(file, joined, callbacks)


def _validated(raw: dict[Any, Any]) -> tuple[File | None, list[str]]:
    """The file and what is wrong with its form; what is wrong is left out of it, so that the rest
    can be looked at too."""
    try:
        return File.model_validate(raw), []
    except ValidationError as error:
        problems = describe_errors(error, File)
        wrong = [item["loc"] for item in error.errors()]
    # Only the keys that are wrong, or else the images and containers that have such a key.
    for depth in (3, 2):
        try:
            return File.model_validate(_without(raw, {loc[:depth] for loc in wrong})), problems
        except ValidationError:
            continue
    return None, problems


def _without(raw: dict[Any, Any], wrong: set[tuple[Any, ...]], at: tuple[Any, ...] = ()) -> Any:
    """The file without what stands at one of the paths in `wrong`."""
    return {
        key: _without(item, wrong, (*at, key)) if isinstance(item, dict) else item
        for key, item in raw.items()
        if (*at, key) not in wrong
    }


def _references(file: File, joined: MergedConfig) -> Iterator[str]:
    """What names something that is not there; `raw` has the names of what is wrong in itself."""
    raw = joined.raw
    for name, image in file.images.items():
        dockerfile = joined.folder("images", name) / (image.folder or name) / "Dockerfile"
        if _gives(raw, name) is None and not dockerfile.is_file():
            yield f"images.{name}: the folder {image.folder or name}/ has no Dockerfile"
        if image.system is not None:
            for problem in _unmakable(joined, name, image.system):
                yield f"images.{name}.system.{problem}"
    yield from _given_twice(raw)
    for name, source in file.sources.items():
        folder = joined.folder("sources", name)
        if source.path is not None and not (folder / source.path).is_dir():
            yield f"sources.{name}.path: no such folder: {source.path}"
    for name, container in file.containers.items():
        for problem in _dangling(container, raw):
            yield f"containers.{name}.{problem}"
    published: dict[int, str] = {}
    for name, container in file.containers.items():
        for index, port in enumerate(container.ports):
            where = f"containers.{name}.ports[{index}]"
            if port.host is not None and published.setdefault(port.host, where) != where:
                yield f"{where}: {published[port.host]} has the host port {port.host} already"
    try:
        waves({name: container.needs for name, container in file.containers.items()})
    except Cycle as cycle:
        yield f"containers: they need each other in a circle: {cycle}"


def _gives(raw: dict[Any, Any], name: str) -> list[tuple[str, str]] | None:
    """What an entry of `images` gives that is made from a live system, and by which key; None for
    one that has a Dockerfile. It need not be sound."""
    entry = raw["images"][name]
    if not (isinstance(entry, dict) and entry.get("system") is not None):
        return None
    live = entry["system"] if isinstance(entry["system"], dict) else {}
    return [
        (f"{key}.{container}", image)
        for key in ("commit", "persist")
        for container, image in (live[key] if isinstance(live.get(key), dict) else {}).items()
    ]


def _known(raw: dict[Any, Any]) -> set[str]:
    """The images that there are, as far as the file tells."""
    images = raw["images"] if isinstance(raw.get("images"), dict) else {}
    known = set()
    for name in images:
        given = _gives(raw, name)
        known |= {name} if given is None else {str(image) for _, image in given}
    return known


def _given_twice(raw: dict[Any, Any]) -> Iterator[str]:
    seen = {name: f"images.{name}" for name in raw["images"] if _gives(raw, name) is None}
    for name in raw["images"]:
        for key, image in _gives(raw, name) or ():
            where = f"images.{name}.system.{key}"
            if seen.setdefault(image, where) != where:
                yield f"{where}: {seen[image]} is the image '{image}' already"


def _unmakable(joined: MergedConfig, name: str, live: Live) -> Iterator[str]:
    """What a live system names that is not there."""
    folder = joined.folder("images", name)
    path = _started(joined, name, live)
    there = joined.raw
    if path != joined.files[0]:
        try:
            there = extends.read(path).raw
        except DeclarationError as error:
            yield from (f"containers: {path}: {problem}" for problem in error.problems)
            return
    system = there["containers"] if isinstance(there.get("containers"), dict) else {}
    named = [(f"{key}.{one}", one) for key in ("commit", "persist") for one in getattr(live, key)]
    if live.seed is not None and not (folder / live.seed).is_file():
        yield f"seed: no such file: {live.seed}"
    if live.root is not None:
        images = _known(joined.raw) | _known(there)
        if live.root.image not in images:
            similar = did_you_mean(live.root.image, images)
            yield f"root.image: unknown image '{live.root.image}'{similar}"
        if live.root.files is not None and not (folder / live.root.files).is_dir():
            yield f"root.files: no such folder: {live.root.files}"
        volumes = live.root.volumes_from
        named += [(f"root.volumes_from[{i}]", one.container) for i, one in enumerate(volumes)]
    for where, one in named:
        if one not in system:
            yield f"{where}: unknown container '{one}'{did_you_mean(one, system)}"


def _dangling(container: Container, raw: dict[Any, Any]) -> Iterator[str]:
    if container.image not in (known := _known(raw)):
        yield f"image: unknown image '{container.image}'{did_you_mean(container.image, known)}"
    named = [(f"links[{index}]", link) for index, link in enumerate(container.links)]
    named += [(f"volumes_from[{i}]", v.container) for i, v in enumerate(container.volumes_from)]
    for where, other in named:
        if other not in raw["containers"]:
            yield f"{where}: unknown container '{other}'{did_you_mean(other, raw['containers'])}"
    for index, link in enumerate(container.links):
        other = raw["containers"].get(link)
        if isinstance(other, dict) and other.get("network_mode") == "none":
            yield f"links[{index}]: '{link}' has no network to be reached by"
    own = [port.container for port in container.ports]
    for index, port in enumerate(own):
        if port in own[:index]:
            yield f"ports[{index}]: port {port} is published twice"


def _resolved(file: File, joined: MergedConfig) -> tuple[dict[str, Callable[..., None]], list[str]]:
    """Import every callback that is named; the files' own folders are looked in first."""
    found: dict[str, Callable[..., None]] = {}
    problems = []
    with _looked_in_first(one.parent for one in joined.files):
        for container, declared in file.containers.items():
            for event, names in declared.callbacks.items():
                for index, name in enumerate(names):
                    where = f"containers.{container}.callbacks.{event}[{index}]"
                    try:
                        found[name] = _callback(name)
                    # Importing runs the user's code: it may do anything.
                    except (Exception, SystemExit) as error:
                        problems.append(f"{where}: {error}")
    return found, problems


@contextmanager
def _looked_in_first(folders: Iterable[Path]) -> Iterator[None]:
    """Import from these folders, for a while: who imports us may have a `util` of their own."""
    path = list(sys.path)
    sys.path[:0] = [str(folder) for folder in folders]
    try:
        yield
    finally:
        sys.path[:] = path


def _callback(name: str) -> Callable[..., None]:
    module, _, attribute = name.rpartition(".")
    callback = getattr(importlib.import_module(module), attribute)
    if not callable(callback):
        raise TypeError(f"{name} is a {type(callback).__name__}, not a function")
    return callback  # type: ignore[no-any-return]
