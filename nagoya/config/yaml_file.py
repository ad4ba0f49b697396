"""YAML files as users write them: limited in size, and strict where YAML reads something else than
is written."""

import math
import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from nagoya.errors import DeclarationError, did_you_mean

MAX_BYTES = 1024 * 1024
MAX_NODES = 100_000
"""How many values a document may have, each alias counted as what it stands for."""


def read_documents(
    path: Path, names: Sequence[str] = (), hint: str | None = None
) -> list[tuple[int, Any]]:
    """The documents of a file, each with the line where it begins, from 1.

    `names` are the right ones to suggest for a file that does not exist, with a hint. Raises
    DeclarationError.
    """
    text = _read(path, names, hint)
    try:
        loader = _StrictLoader(text)
        documents = []
        while loader.check_node() and (node := loader.get_node()):
            loader.check_size(node)
            documents.append((node.start_mark.line + 1, loader.construct_document(node)))
        return documents
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        problem = f"{place}{getattr(error, 'problem', None) or str(error).splitlines()[0]}"
    except RecursionError:
        problem = "the file is nested too deeply"
    raise DeclarationError(str(path), [problem])


def _read(path: Path, names: Sequence[str], hint: str | None) -> str:
    try:
        # Opening a pipe that nobody writes to would wait.
        if not stat.S_ISREG(path.stat().st_mode):
            problem = "is a folder, not a file" if path.is_dir() else "is not a regular file"
            raise DeclarationError(str(path), [problem])
        # /proc/kmsg is a regular file by its type, but reading it may wait.
        with open(path, "rb", opener=_open_without_waiting) as file:
            content = file.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            problem = f"is larger than {MAX_BYTES // 1024} KiB, which no such file needs"
            raise DeclarationError(str(path), [problem])
        return content.decode()
    except FileNotFoundError:
        problem = f"no such file{did_you_mean(str(path), names)}"
        raise DeclarationError(str(path), [problem], hint) from None
    except UnicodeDecodeError as error:
        problem = f"cannot be read: byte {error.start + 1} is not UTF-8"
    except (OSError, ValueError) as error:
        problem = f"cannot be read: {getattr(error, 'strerror', None) or error}"
    raise DeclarationError(str(path), [problem]) from None


def _open_without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)


class _StrictLoader(yaml.SafeLoader):
    """SafeLoader that refuses what it would read differently from what is written, and what no
    program can be given."""

    def check_size(self, node: yaml.Node) -> None:
        """Refuse a document whose aliases multiply it."""
        if _count(node, {}) > MAX_NODES:
            problem = f"the document has more than {MAX_NODES} values"
            raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark)

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except (ValueError, TypeError, AttributeError, LookupError):
            # Such as the date 2020-13-01, a number of 5,000 digits, or `!!int ""`.
            kind = node.tag.rpartition(":")[2]
            raise _refusal(node, f"{_shortened(node)} cannot be read as {kind}") from None

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys: set[Any] = set()
        # The other method refuses `!!map x`, which is no mapping.
        for key_node, _ in node.value if isinstance(node, yaml.MappingNode) else ():
            if key_node.tag == "tag:yaml.org,2002:merge":
                continue
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, str) and key in keys:
                raise _refusal(key_node, f"duplicate key '{key}'")
            if isinstance(key, str):
                keys.add(key)
        return super().construct_mapping(node, deep)

    def construct_scalar(self, node: yaml.ScalarNode | yaml.MappingNode) -> Any:
        text = super().construct_scalar(node)
        if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
            raise _refusal(node, "the text contains a NUL or half a surrogate pair")
        return text

    def construct_number(self, node: yaml.ScalarNode) -> int | float:
        """A number in the notation that it is printed in: unlike 22:22, 0755, 1_000 or 1.10."""
        is_float = node.tag.endswith("float")
        number = (self.construct_yaml_float if is_float else self.construct_yaml_int)(node)
        if str(number) != node.value:
            text = _shortened(node)
            raise _refusal(node, f"put quotes around {text}: YAML reads it as the number {number}")
        return number


for _tag in ("int", "float"):
    _StrictLoader.add_constructor(f"tag:yaml.org,2002:{_tag}", _StrictLoader.construct_number)


def _refusal(node: yaml.Node, problem: str) -> yaml.YAMLError:
    return yaml.constructor.ConstructorError(None, None, problem, node.start_mark)


def _shortened(node: yaml.Node) -> str:
    text = str(node.value)
    return text if len(text) < 50 else f"{text[:40]}…"


def _count(node: yaml.Node, counts: dict[int, float]) -> float:
    """How many values a node stands for; infinite if it contains itself."""
    if id(node) not in counts:
        counts[id(node)] = math.inf
        children: list[yaml.Node] = []
        if isinstance(node, yaml.MappingNode):
            children = [child for pair in node.value for child in pair]
        elif isinstance(node, yaml.SequenceNode):
            children = node.value
        counts[id(node)] = 1 + sum(_count(child, counts) for child in children)
    return counts[id(node)]
