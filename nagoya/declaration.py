"""moromi.yml: read safely, validated whole, then frozen.

Every problem is reported at once, each with its path (`containers.koji.links[0]: unknown
container 'x'`). Code that gets a `Declaration` never sees a raw dictionary.
"""

import difflib
import importlib
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import yaml
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)

from nagoya.errors import DeclarationError
from nagoya.plan import Cycle, in_order

FILE = "moromi.yml"

Event = Literal[
    "pre_init", "post_init", "pre_create", "post_create", "pre_start", "post_start",
    "pre_stop", "post_stop", "pre_remove", "post_remove",
]  # fmt: skip

# Docker's own rules for names of images and of containers, less what a host name cannot hold.
ImageName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]+([._/-][a-z0-9]+)*$")]
ContainerName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$")]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
CallbackName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][\w.]*\.[A-Za-z_]\w*$")]


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Source(_Frozen):
    """Where one source comes from: PyPI, a URL, or a path on this machine (exactly one).

    `sha256` is that of the archive; a `path` has none, for a work tree changes.
    """

    pypi: Annotated[str, StringConstraints(pattern=r"^[\w.-]+==[\w.+!-]+$")] | None = None
    url: Annotated[str, StringConstraints(pattern=r"^https?://\S+$")] | None = None
    path: str | None = None
    sha256: Sha256 | None = None

    @model_validator(mode="after")
    def _one_origin(self) -> "Source":
        if sum(origin is not None for origin in (self.pypi, self.url, self.path)) != 1:
            raise ValueError("needs exactly one of 'pypi', 'url' and 'path'")
        if self.path is None and self.sha256 is None:
            raise ValueError("needs 'sha256', the archive's checksum")
        if self.path is not None and self.sha256 is not None:
            raise ValueError("'sha256' goes with 'pypi' or 'url', a 'path' may change")
        return self


class Base(_Frozen):
    """The image that ours stand on, and the Debian suite it is made from where none answers."""

    image: Annotated[str, StringConstraints(pattern=r"^[a-z0-9./_-]+:[\w.-]+$")]
    suite: Annotated[str, StringConstraints(pattern=r"^[a-z]+$")]


class Image(_Frozen):
    """An image: its folder holds the Dockerfile, and is named as the image unless told."""

    folder: str | None = None


class Port(_Frozen):
    """A port of a container published on 127.0.0.1; `host` None means a free one."""

    container: int
    host: int | None = None


class VolumesFrom(_Frozen):
    """The volumes of another container, read-write or read-only."""

    container: str
    mode: Literal["rw", "ro"] = "rw"


def _port(value: Any) -> Any:
    match = re.fullmatch(r"(?:(\d+):)?(\d+)", str(value)) if not isinstance(value, bool) else None
    if not isinstance(value, int | str) or not match:
        raise ValueError(f"{value!r} is no port; write 443 (a free host port) or '8443:443'")
    host, container = (int(text) if text else None for text in match.groups())
    for number in (host, container):
        if number is not None and not 0 < number < 65536:
            raise ValueError(f"{number} is no port: from 1 to 65535")
    return Port.model_construct(container=container, host=host)


def _volumes_from(value: Any) -> Any:
    match = re.fullmatch(r"([a-z0-9-]+)(?::(rw|ro))?", value) if isinstance(value, str) else None
    if not match:
        raise ValueError(f"{value!r} is not CONTAINER, CONTAINER:ro or CONTAINER:rw")
    return VolumesFrom.model_construct(container=match[1], mode=match[2] or "rw")


def _texts(value: Any) -> Any:
    """YAML reads `KEY: 1` as a number; an environment holds text alone."""
    if isinstance(value, Mapping):
        return {
            key: str(item) if isinstance(item, int | float) and not isinstance(item, bool) else item
            for key, item in value.items()
        }
    return value


class Container(_Frozen):
    """A container of the system, as declared."""

    image: ImageName
    command: tuple[str, ...] = ()
    detach: bool = True
    run_once: bool = False
    environment: Annotated[dict[str, str], BeforeValidator(_texts)] = Field(default_factory=dict)
    ports: tuple[Annotated[Port, BeforeValidator(_port)], ...] = ()
    volumes_from: tuple[Annotated[VolumesFrom, BeforeValidator(_volumes_from)], ...] = ()
    links: tuple[ContainerName, ...] = ()
    cap_add: tuple[str, ...] = ()
    cap_drop: tuple[str, ...] = ()
    security_opt: tuple[str, ...] = ()
    stop_timeout: Annotated[int, Field(ge=1, le=3600)] = 10
    callbacks: dict[Event, tuple[CallbackName, ...]] = Field(default_factory=dict)

    @property
    def needs(self) -> tuple[str, ...]:
        """The containers that have to be there first."""
        return tuple(dict.fromkeys([*(v.container for v in self.volumes_from), *self.links]))

    @model_validator(mode="after")
    def _run_once_ends(self) -> "Container":
        if self.run_once and self.detach:
            raise ValueError("'run_once: true' needs 'detach: false': toji waits for its end")
        return self


class _File(_Frozen):
    sources: dict[str, Source] = Field(default_factory=dict)
    base: Base
    images: dict[ImageName, Image]
    containers: dict[ContainerName, Container]


class Declaration:
    """A validated moromi.yml.

    `directory` is the file's folder, the build context of every image. `callbacks` holds what
    every callback's dotted name stands for.
    """

    def __init__(self, file: _File, path: Path, callbacks: Mapping[str, Callable[..., None]]):
        self.path = path
        self.directory = path.parent
        self.sources = file.sources
        self.base = file.base
        self.images = file.images
        self.containers = file.containers
        self.callbacks = callbacks

    def dockerfile(self, image: str) -> Path:
        """Where an image's Dockerfile is."""
        return self.directory / (self.images[image].folder or image) / "Dockerfile"


def locate(path: Path | None) -> Path:
    """The moromi.yml to use: the one given, else this folder's, else the project's own."""
    if path is not None:
        return path
    beside_package = Path(__file__).resolve().parent.parent / FILE
    return next((found for found in (Path(FILE), beside_package) if found.exists()), Path(FILE))


def read(path: Path) -> Declaration:
    """Read and validate a moromi.yml; raises DeclarationError with every problem found."""
    raw = _parse(path)
    try:
        file = _File.model_validate(raw)
    except ValidationError as error:
        raise DeclarationError(str(path), [_said(item) for item in error.errors()]) from None
    callbacks, problems = _resolved(file, path.resolve().parent)
    problems = [*_references(file, path.resolve().parent), *problems]
    if problems:
        raise DeclarationError(str(path), problems)
    return Declaration(file, path.resolve(), callbacks)


class _StrictLoader(yaml.SafeLoader):
    """SafeLoader that refuses a key written twice, which YAML would let the last one win."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)  # type: ignore[no-untyped-call]
            if isinstance(key, str) and key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key '{key}' stands here twice", key_node.start_mark
                )
            if isinstance(key, str):
                seen.add(key)
        return super().construct_mapping(node, deep)


def _parse(path: Path) -> Any:
    where = str(path)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise DeclarationError(
            where, ["no such file"], "name another with -c FILE, or go to a checkout of Nagoya"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise DeclarationError(where, [f"cannot be read: {error}"]) from None
    try:
        raw = yaml.load(text, Loader=_StrictLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise DeclarationError(where, [f"{place}{getattr(error, 'problem', error)}"]) from None
    if raw is None:
        raise DeclarationError(where, ["the file is empty"])
    if not isinstance(raw, dict):
        raise DeclarationError(where, [f"is a {type(raw).__name__}, not a mapping of keys"])
    return raw


def _said(error: Any) -> str:
    """One of pydantic's errors in our words, with the path to where it stands."""
    path = ""
    for part in error["loc"]:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else str(part)
    path = path.removesuffix(".[key]")
    kind, context = error["type"], error.get("ctx", {})
    match kind:
        case "extra_forbidden":
            message = f"unknown key{_similar(error['loc'])}"
        case "missing":
            message = "is missing"
        case "value_error":
            message = str(context["error"])
        case "string_pattern_mismatch":
            message = f"{error['input']!r} is not of the form {context['pattern']}"
        case "literal_error":
            message = f"{error['input']!r} is not one of {context['expected']}"
        case _:
            wanted = re.sub(r"^Input should be (a )?(valid )?", "", error["msg"])
            message = f"should be {wanted}, is {error['input']!r}"
    return f"{path or 'moromi.yml'}: {message}"


_SECTIONS = {"sources": Source, "images": Image, "containers": Container}


def _similar(loc: tuple[Any, ...]) -> str:
    owner = _SECTIONS.get(loc[0], _File) if len(loc) > 2 else Base if len(loc) > 1 else _File
    close = difflib.get_close_matches(str(loc[-1]), list(owner.model_fields), n=1)
    return f"; did you mean '{close[0]}'?" if close else ""


def _references(file: _File, directory: Path) -> Iterator[str]:
    for name, image in file.images.items():
        dockerfile = directory / (image.folder or name) / "Dockerfile"
        if not dockerfile.is_file():
            yield f"images.{name}: the folder {dockerfile.parent.name}/ has no Dockerfile"
    for name, source in file.sources.items():
        if source.path is not None and not (directory / source.path).exists():
            yield f"sources.{name}.path: no such file or folder: {source.path}"
    for name, container in file.containers.items():
        where = f"containers.{name}"
        if container.image not in file.images:
            yield f"{where}.image: unknown image '{container.image}'"
        for index, link in enumerate(container.links):
            if link not in file.containers:
                yield f"{where}.links[{index}]: unknown container '{link}'"
        for index, volume in enumerate(container.volumes_from):
            if volume.container not in file.containers:
                yield f"{where}.volumes_from[{index}]: unknown container '{volume.container}'"
        for index, port in enumerate(container.ports):
            if port.host is not None and any(
                port.host == other.host for other in container.ports[:index]
            ):
                yield f"{where}.ports[{index}]: host port {port.host} is published twice"
    try:
        in_order({name: container.needs for name, container in file.containers.items()})
    except Cycle as cycle:
        yield f"containers: they need each other in a circle: {cycle}"


def _resolved(file: _File, directory: Path) -> tuple[dict[str, Callable[..., None]], list[str]]:
    """Import every callback that is named; the file's own folder is looked in first."""
    found: dict[str, Callable[..., None]] = {}
    problems = []
    if str(directory) not in sys.path:
        sys.path.insert(0, str(directory))
    for container, declared in file.containers.items():
        for event, names in declared.callbacks.items():
            for index, name in enumerate(names):
                try:
                    found[name] = _callback(name)
                except (
                    Exception
                ) as error:  # importing runs code of the user's, which may do anything
                    problems.append(f"containers.{container}.callbacks.{event}[{index}]: {error}")
    return found, problems


def _callback(name: str) -> Callable[..., None]:
    module, _, attribute = name.rpartition(".")
    callback = getattr(importlib.import_module(module), attribute)
    if not callable(callback):
        raise TypeError(f"{name} is not a function")
    return callback  # type: ignore[no-any-return]


EVENTS: tuple[Event, ...] = get_args(Event)
