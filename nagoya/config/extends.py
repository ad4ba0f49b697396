"""A moromi.yml laid over the one that it extends, and that over the next: joined into one.

What is said further up wins. Sources, images and the base are replaced whole, each by its name;
containers are merged key by key, all the way down, but for lists, which are replaced. What is set
to null is taken away. Of every part it stays known which file says it: paths in it are relative
to that file's folder, and problems are told with its name.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from nagoya.errors import DeclarationError
from nagoya.utils.graph import Cycle

FILE = "moromi.yml"
OURS = {"nagoya": FILE, "nagoya-demo": f"demo/{FILE}"}
"""What Nagoya's own files are named by: the blank Koji, and one that holds the demo."""
INSTALLED = Path(__file__).resolve().parents[1] / "context"
"""Where an installed package holds the image set; a checkout has it at its top."""

_JOINED = re.compile(r"sources$|images$|containers(\.|$)")
"""The paths of what is merged key by key."""


@dataclass(frozen=True)
class MergedConfig:
    """The files, joined: what they say, as YAML gives it, and which of them says what.

    `files` begins with the one that was asked for; each extends the next. `said_by` has the path of
    every part that does not come from the last of them.
    """

    raw: dict[Any, Any]
    files: tuple[Path, ...]
    said_by: Mapping[str, Path]

    def file(self, section: str, name: str) -> Path:
        """The file that declares a source or an image."""
        return self.said_by.get(f"{section}.{name}", self.files[-1])

    def folder(self, section: str, name: str) -> Path:
        """The folder of the file that declares a source or an image."""
        return self.file(section, name).parent

    def told(self, problem: str) -> str:
        """A problem, which opens with its path, with its file's name too unless that was asked
        for."""
        parts = [part for part in self.said_by if re.match(rf"{re.escape(part)}(?![\w-])", problem)]
        file = self.said_by[max(parts, key=len)] if parts else self.files[-1]
        return problem if file == self.files[0] else f"{file}: {problem}"


def shipped(name: str = "nagoya") -> Path:
    """One of Nagoya's own files."""
    installed = INSTALLED / OURS[name]
    return installed if installed.exists() else INSTALLED.parent.parent / OURS[name]


def named(value: str, folder: Path) -> Path:
    """The file that is meant: one of Nagoya's own by its name, or one by its path from a folder."""
    return shipped(value) if value in OURS else folder / value


def read(path: Path) -> MergedConfig:
    """Read a moromi.yml and all that it extends. Raises DeclarationError where one is no YAML."""
    parsed = list(_chain(path))
    said_by: dict[str, Path] = {}
    raw = parsed[-1][1]
    for file, over in reversed(parsed[:-1]):
        raw = _merged(raw, over, "", file, said_by)
    return MergedConfig(raw, tuple(file for file, _ in parsed), said_by)


def _chain(path: Path | None) -> Iterator[tuple[Path, dict[Any, Any]]]:
    """Each file with what it says, the one asked for first."""
    seen: list[Path] = []
    while path is not None:
        raw = _parse(path)
        extended = _extended(path, raw.pop("extends")) if "extends" in raw else None
        path = path.resolve()
        yield path, raw
        seen.append(path)
        if extended is not None and extended.resolve() in seen:
            circle = Cycle(map(str, [*seen[seen.index(extended.resolve()) :], extended.resolve()]))
            raise DeclarationError(
                str(path), [f"extends: the files extend each other in a circle: {circle}"]
            )
        path = extended


def _extended(path: Path, value: Any) -> Path:
    if not isinstance(value, str):
        problem = f"extends: should be 'nagoya' or the path of a file, is {value!r}"
    elif (extended := named(value, path.parent)).is_file():
        return extended
    else:
        problem = f"extends: no such file: {value}"
    raise DeclarationError(str(path), [problem], "`extends: nagoya` names Nagoya's own")


def _merged(
    under: dict[Any, Any], over: dict[Any, Any], at: str, file: Path, said_by: dict[str, Path]
) -> dict[Any, Any]:
    merged = dict(under)
    for key, value in over.items():
        path, there = f"{at}.{key}" if at else str(key), under.get(key)
        if value is None and at and key in under:
            del merged[key]
        elif isinstance(value, dict) and isinstance(there, dict) and _JOINED.match(path):
            merged[key] = _merged(there, value, path, file, said_by)
        else:
            for older in [one for one in said_by if one.startswith(f"{path}.")]:
                del said_by[older]
            said_by[path] = file
            merged[key] = value
    return merged


class _StrictLoader(yaml.SafeLoader):
    """SafeLoader that refuses a key written twice, which YAML would let the last one win, and a
    number in base 60, which is how YAML 1.1 reads 22:22."""

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

    def construct_yaml_int(self, node: yaml.ScalarNode) -> int:
        if ":" in node.value:
            raise yaml.constructor.ConstructorError(
                None, None, f"put quotes around {node.value}; it reads as a number", node.start_mark
            )
        return super().construct_yaml_int(node)


_StrictLoader.add_constructor("tag:yaml.org,2002:int", _StrictLoader.construct_yaml_int)


def _parse(path: Path) -> dict[Any, Any]:
    where = str(path)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise DeclarationError(
            where, ["no such file"], "name another with -c FILE, or leave -c out for Nagoya's own"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise DeclarationError(where, [f"cannot be read: {error}"]) from None
    try:
        raw = yaml.load(text, Loader=_StrictLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise DeclarationError(where, [f"{place}{getattr(error, 'problem', error)}"]) from None
    except RecursionError:
        raise DeclarationError(where, ["is nested too deeply"]) from None
    if raw is None:
        raise DeclarationError(where, ["the file is empty"])
    if not isinstance(raw, dict):
        raise DeclarationError(where, [f"is a {type(raw).__name__}, not a mapping of keys"])
    return raw
