"""moromi.yml: read safely, validated whole, then frozen.

Every problem is reported at once, each with its path (`containers.koji.links[0]: unknown
container 'x'`). Code that gets a `Declaration` never sees a raw dictionary.
"""

import difflib
import importlib
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from nagoya.errors import DeclarationError
from nagoya.plan import Cycle, in_order
from nagoya.schema import EVENTS, Base, Container, File, Frozen, Image, Source

FILE = "moromi.yml"


class Declaration:
    """A validated moromi.yml.

    `directory` is the file's folder, the build context of every image. `callbacks` holds what
    every callback's dotted name stands for.
    """

    def __init__(self, file: File, path: Path, callbacks: Mapping[str, Callable[..., None]]):
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
    directory = path.resolve().parent
    file, problems = _validated(raw)
    callbacks: dict[str, Callable[..., None]] = {}
    if file is not None:
        callbacks, unresolved = _resolved(file, directory)
        problems += [*_references(file, raw, directory), *unresolved]
    if problems or file is None:
        raise DeclarationError(str(path), problems)
    return Declaration(file, path.resolve(), callbacks)


def _validated(raw: dict[Any, Any]) -> tuple[File | None, list[str]]:
    """The file and what is wrong with its form; what is wrong is left out of it, so that the rest
    can be looked at too."""
    try:
        return File.model_validate(raw), []
    except ValidationError as error:
        problems = [_said(item) for item in error.errors()]
        wrong = {tuple(item["loc"][:2]) for item in error.errors()}
    sound = {
        section: {name: item for name, item in items.items() if (section, name) not in wrong}
        if section in _SECTIONS and isinstance(items, dict)
        else items
        for section, items in raw.items()
        if (section,) not in wrong
    }
    try:
        return File.model_validate(sound), problems
    except ValidationError:
        return None, problems


class _StrictLoader(yaml.SafeLoader):
    """SafeLoader that refuses a key written twice, which YAML would let the last one win."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, str) and key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key '{key}' stands here twice", key_node.start_mark
                )
            if isinstance(key, str):
                seen.add(key)
        return super().construct_mapping(node, deep)


def _parse(path: Path) -> dict[Any, Any]:
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
    found = error["input"]
    match error["type"]:
        case "extra_forbidden":
            message = f"unknown key{_similar(error['loc'][-1], _keys(error['loc']))}"
        case "missing":
            message = "is missing"
        case "value_error":
            message = str(error["ctx"]["error"])
        case "literal_error" if path.rpartition(".")[0].endswith("callbacks"):
            message = f"there is no such event{_similar(found, EVENTS)}"
        case "invalid_key":
            message = f"the key {found!r} should be text; put it in quotes"
        case "string_type" if isinstance(found, bool | int | float):
            message = f"should be text, is {found!r}; put it in quotes"
        case kind if kind in _WANTED:
            message = f"should be {_WANTED[kind]}, is {'empty' if found is None else repr(found)}"
        case _:
            wanted = error["msg"].removeprefix("Input should be ")
            message = f"should be {wanted}, is {found!r}"
    return f"{path}: {message}" if path else message


_WANTED = {
    "dict_type": "a mapping of keys",
    "model_type": "a mapping of keys",
    "tuple_type": "a list",
    "string_type": "text",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
}
_SECTIONS: dict[str, type[Frozen]] = {
    "sources": Source,
    "images": Image,
    "containers": Container,
}


def _keys(loc: tuple[Any, ...]) -> Iterable[str]:
    """The keys that may stand where an unknown one was found."""
    owner: type[Frozen] = File
    if len(loc) > 1:
        owner = _SECTIONS.get(loc[0], Base)
    return owner.model_fields


def _similar(word: Any, words: Iterable[str]) -> str:
    close = difflib.get_close_matches(str(word), list(words), n=1)
    return f"; did you mean '{close[0]}'?" if close else ""


def _references(file: File, raw: dict[Any, Any], directory: Path) -> Iterator[str]:
    """What names something that is not there; `raw` has the names of what is wrong in itself."""
    for name, image in file.images.items():
        dockerfile = directory / (image.folder or name) / "Dockerfile"
        if not dockerfile.is_file():
            yield f"images.{name}: the folder {image.folder or name}/ has no Dockerfile"
    for name, source in file.sources.items():
        if source.path is not None and not (directory / source.path).is_dir():
            yield f"sources.{name}.path: no such folder: {source.path}"
    for name, container in file.containers.items():
        for problem in _dangling(container, raw):
            yield f"containers.{name}.{problem}"
    try:
        in_order({name: container.needs for name, container in file.containers.items()})
    except Cycle as cycle:
        yield f"containers: they need each other in a circle: {cycle}"


def _dangling(container: Container, raw: dict[Any, Any]) -> Iterator[str]:
    if container.image not in raw["images"]:
        yield f"image: unknown image '{container.image}'{_similar(container.image, raw['images'])}"
    named = [(f"links[{index}]", link) for index, link in enumerate(container.links)]
    named += [(f"volumes_from[{i}]", v.container) for i, v in enumerate(container.volumes_from)]
    for where, other in named:
        if other not in raw["containers"]:
            yield f"{where}: unknown container '{other}'{_similar(other, raw['containers'])}"
    hosts = [port.host for port in container.ports]
    for index, host in enumerate(hosts):
        if host is not None and host in hosts[:index]:
            yield f"ports[{index}]: host port {host} is published twice"


def _resolved(file: File, directory: Path) -> tuple[dict[str, Callable[..., None]], list[str]]:
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
                except Exception as error:  # importing runs the user's code: it may do anything
                    problems.append(f"containers.{container}.callbacks.{event}[{index}]: {error}")
    return found, problems


def _callback(name: str) -> Callable[..., None]:
    module, _, attribute = name.rpartition(".")
    callback = getattr(importlib.import_module(module), attribute)
    if not callable(callback):
        raise TypeError(f"{name} is a {type(callback).__name__}, not a function")
    return callback  # type: ignore[no-any-return]
