"""Merge a moromi.yml with the chain of files that it extends.

The extending file wins. Sources, images and the base are replaced whole, each by its name;
containers are merged key by key at every depth, except that lists are replaced. `null` removes a
key. The origin of every part is remembered: its paths are relative to that file's folder.
"""

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nagoya.config.model import MoromiFile
from nagoya.config.yaml_file import read_documents
from nagoya.errors import DeclarationError, did_you_mean
from nagoya.utils.graph import Cycle

FILE = "moromi.yml"
OURS = {
    "nagoya": FILE,
    "nagoya-current": f"current/{FILE}",
    "nagoya-demo": f"demo/{FILE}",
    "nagoya-current-demo": f"current/demo/{FILE}",
}
"""The names of the files that come with Nagoya: a blank Koji of the pinned or the current release,
and the same with the demo in it."""
INSTALLED = Path(__file__).resolve().parents[1] / "context"
"""Where an installed package holds the image folders; a checkout has them at its top."""

_MERGED = re.compile(r"sources$|images$|containers(\.|$)")
"""The paths of mappings that are merged key by key."""


@dataclass(frozen=True)
class MergedConfig:
    """The merged contents of the files, as YAML reads them, and where each part comes from.

    `files` begins with the one that was asked for; each extends the next. `origin` maps the path of
    a part to its file, for parts that do not come from the last file. `extended` is the same
    without the first file; None if there is only one.
    """

    raw: dict[Any, Any]
    files: tuple[Path, ...]
    origin: Mapping[str, Path]
    extended: "MergedConfig | None" = None

    def file(self, section: str, name: str) -> Path:
        """The file that declares a source or an image."""
        return self.origin.get(f"{section}.{name}", self.files[-1])

    def folder(self, section: str, name: str) -> Path:
        """The folder of the file that declares a source or an image."""
        return self.file(section, name).parent


def shipped(name: str = "nagoya") -> Path:
    """The path of a file that comes with Nagoya."""
    installed = INSTALLED / OURS[name]
    return installed if installed.exists() else INSTALLED.parent.parent / OURS[name]


def option(path: Path) -> str:
    """The option of moromi and toji that selects a file."""
    return f"-c {next((name for name in OURS if shipped(name) == path), path)}"


def resolve(value: str, folder: Path) -> Path:
    """The file that `value` names: one that comes with Nagoya, or a path from a folder."""
    return shipped(value) if value in OURS else folder / value


def read(path: Path) -> MergedConfig:
    """Read a moromi.yml and all that it extends. Raises DeclarationError if one is not YAML."""
    *over, (last, raw) = _chain(path)
    config = MergedConfig(raw, (last,), {})
    for file, raw in reversed(over):
        origin = dict(config.origin)
        merged = _merge(config.raw, raw, "", file, origin)
        config = MergedConfig(merged, (file, *config.files), origin, config)
    return config


def _chain(path: Path | None) -> Iterator[tuple[Path, dict[Any, Any]]]:
    """Each file with its contents, beginning with the one that was asked for."""
    files: list[Path] = []
    while path is not None:
        raw = _parse(path)
        extended = _extended(path, raw.pop("extends")) if "extends" in raw else None
        path = path.resolve()
        yield path, raw
        files.append(path)
        if extended is not None and extended.resolve() in files:
            circle = Cycle(
                map(str, [*files[files.index(extended.resolve()) :], extended.resolve()])
            )
            raise DeclarationError(str(path), [f"extends: circular dependency: {circle}"])
        path = extended


def _extended(path: Path, value: Any) -> Path:
    if not isinstance(value, str):
        problem = f"extends: should be 'nagoya' or the path of a file, is {value!r}"
    # Path.exists raises an error for a name that is too long.
    elif os.path.exists(extended := resolve(value, path.parent)):  # noqa: PTH110
        return extended
    else:
        problem = f"extends: no such file: {value}{did_you_mean(value, OURS)}"
    raise DeclarationError(str(path), [problem], "`extends: nagoya` names Nagoya's own")


def _merge(
    under: dict[Any, Any], over: dict[Any, Any], at: str, file: Path, origin: dict[str, Path]
) -> dict[Any, Any]:
    merged = dict(under)
    for key, value in over.items():
        path, below = f"{at}.{key}" if at else str(key), under.get(key)
        if value is None and at and key in under:
            del merged[key]
        elif isinstance(value, dict) and isinstance(below, dict) and _MERGED.match(path):
            merged[key] = _merge(below, value, path, file, origin)
        else:
            for older in [part for part in origin if part.startswith(f"{path}.")]:
                del origin[older]
            origin[path] = file
            merged[key] = value
    return merged


def _parse(path: Path) -> dict[Any, Any]:
    hint = "name another with -c FILE, or leave -c out for Nagoya's own"
    documents = read_documents(path, tuple(OURS), hint)
    if len(documents) > 1:
        line = documents[1][0]
        raise DeclarationError(str(path), [f"line {line}: a second document; keep one"])
    raw = documents[0][1] if documents else None
    if raw is None:
        raise DeclarationError(str(path), ["the file is empty"])
    if not isinstance(raw, dict):
        problem = f"should be a mapping of keys, is a {type(raw).__name__}"
        raise DeclarationError(str(path), [problem])
    # Another file, perhaps with secrets: messages about its keys would print them.
    if not raw.keys() & (keys := ("extends", *MoromiFile.model_fields)):
        raise DeclarationError(str(path), [f"has none of moromi.yml's keys: {', '.join(keys)}"])
    return raw
