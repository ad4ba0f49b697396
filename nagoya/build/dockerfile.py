"""What a Dockerfile stands on and what it copies: read, not run.

Only the classic builder's language is read (the SDK speaks to no other); what needs BuildKit is
told as such. See https://docs.docker.com/reference/dockerfile/ for the rules.
"""

import json
import posixpath
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from nagoya.errors import DeclarationError

_VARIABLE = re.compile(r"(\\?)\$(?:(\w+)|\{(\w+)(?::([-+])([^}]*))?\})")
_REMOTE = re.compile(r"(https?|ftp|git)://|git@")


@dataclass(frozen=True)
class CopySource:
    """A path of the context that COPY or ADD names, wildcards and all; the root is `.`."""

    path: str
    line: int


@dataclass(frozen=True)
class Dockerfile:
    """What is known of an image before it is built.

    `parents` are the images that FROM and COPY --from name, less the stages of the file itself, in
    order of first use; `arguments` are the names of all build arguments that it takes.
    """

    path: Path
    parents: tuple[str, ...]
    copied: tuple[CopySource, ...]
    arguments: frozenset[str]


@dataclass
class _Reading:
    """What is known at one line of the file; `values` are those of the stage at hand."""

    given: Mapping[str, str]
    outside: dict[str, str] = field(default_factory=dict)
    values: dict[str, str] = field(default_factory=dict)
    stages: list[str] = field(default_factory=list)
    parents: dict[str, None] = field(default_factory=dict)
    copied: list[CopySource] = field(default_factory=list)
    arguments: set[str] = field(default_factory=set)


def read(path: Path, given: Mapping[str, str] | None = None) -> Dockerfile:
    """Read a Dockerfile, with `given` in place of the defaults of its build arguments.

    Raises DeclarationError with every problem found, each with its line.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DeclarationError(str(path), [f"cannot be read: {error}"]) from None
    reading = _Reading(given or {})
    problems = []
    for line, instruction, rest in _instructions(text):
        try:
            _take(reading, line, instruction, rest)
        except ValueError as error:
            problems.append(f"line {line}: {error}")
    if not reading.stages and not problems:
        problems.append("there is no FROM in it")
    if problems:
        raise DeclarationError(str(path), problems)
    return Dockerfile(
        path, tuple(reading.parents), tuple(reading.copied), frozenset(reading.arguments)
    )


def _instructions(text: str) -> Iterator[tuple[int, str, str]]:
    """Each instruction with the line that it begins on, its continued lines joined."""
    begun, joined = 0, ""
    for number, line in enumerate(text.splitlines(), 1):
        stripped = line.strip()
        if not joined and re.match(r"#\s*syntax\s*=", stripped):
            yield number, "#SYNTAX", ""
        # A comment or an empty line does not end what is continued across it.
        if not stripped or stripped.startswith("#"):
            continue
        begun = begun if joined else number
        joined += line.rstrip().removesuffix("\\")
        if not stripped.endswith("\\"):
            yield begun, *_split(joined)
            joined = ""
    if joined:
        yield begun, *_split(joined)


def _split(line: str) -> tuple[str, str]:
    word, *rest = line.strip().split(maxsplit=1)
    return word.upper(), rest[0] if rest else ""


def _take(reading: _Reading, line: int, instruction: str, rest: str) -> None:
    flags = dict(re.findall(r"--([\w-]+)(?:=(\S+))?(?=\s|$)", _leading_flags(rest)))
    rest = rest[len(_leading_flags(rest)) :]
    if instruction not in ("FROM", "ARG", "#SYNTAX") and not reading.stages:
        raise ValueError(f"{instruction} stands before the first FROM")
    match instruction:
        case "#SYNTAX":
            raise ValueError("'# syntax=' needs BuildKit and a registry; leave the line out")
        case "FROM":
            _from(reading, rest)
        case "ARG":
            _argument(reading, rest)
        case "ENV":
            reading.values |= _environment(reading, rest)
        case "COPY" | "ADD":
            _copy(reading, line, instruction, flags, rest)
        case "RUN" if flags:
            raise ValueError(f"RUN --{next(iter(flags))} needs BuildKit, which is not used here")


def _leading_flags(rest: str) -> str:
    found = re.match(r"(?:--[\w-]+(?:=\S+)?\s+)*", rest)
    return found[0] if found else ""


def _from(reading: _Reading, rest: str) -> None:
    words = rest.split()
    named = len(words) == 3 and words[1].upper() == "AS"
    if len(words) != 1 and not named:
        raise ValueError("FROM is not of the form FROM IMAGE [AS STAGE]")
    _parent(reading, _expanded(words[0], reading.outside))
    reading.stages.append(words[2].lower() if named else "")
    reading.values = {}


def _parent(reading: _Reading, image: str) -> None:
    if not image:
        raise ValueError("the name of the image comes out empty; its ARG has no default")
    if image.lower() not in reading.stages and image != "scratch":
        reading.parents[image.removesuffix(":latest")] = None


def _argument(reading: _Reading, rest: str) -> None:
    for word in shlex.split(rest):
        name, equals, default = word.partition("=")
        reading.arguments.add(name)
        values = reading.values if reading.stages else reading.outside
        if name in reading.given:
            values[name] = reading.given[name]
        elif equals:
            values[name] = _expanded(default, values)
        elif name in reading.outside:
            values[name] = reading.outside[name]


def _environment(reading: _Reading, rest: str) -> dict[str, str]:
    if re.match(r"\w+\s", rest):
        name, _, value = rest.partition(" ")
        pairs = [(name, value.strip())]
    else:
        pairs = [(name, value) for name, _, value in (w.partition("=") for w in shlex.split(rest))]
    # A variable of the parent image's may stand in a value; nothing is known of it here.
    return {name: _expanded(value, reading.values, known=False) for name, value in pairs}


def _copy(
    reading: _Reading, line: int, instruction: str, flags: Mapping[str, str], rest: str
) -> None:
    for flag in flags:
        if flag not in ("from", "chown"):
            raise ValueError(f"{instruction} --{flag} needs BuildKit, which is not used here")
    if "from" in flags:
        stage = _expanded(flags["from"], reading.values)
        if not (stage.isdigit() and int(stage) < len(reading.stages)):
            _parent(reading, stage)
        return
    words = json.loads(rest) if rest.startswith("[") else rest.split()
    if len(words) < 2:
        raise ValueError(f"{instruction} needs what to copy, and where to")
    for word in words[:-1]:
        source = _expanded(word, reading.values)
        if source.startswith("<<"):
            raise ValueError("a here-document needs BuildKit, which is not used here")
        if instruction == "ADD" and _REMOTE.match(source):
            continue
        path = posixpath.normpath(source.lstrip("/") or ".")
        if path.startswith(".."):
            raise ValueError(f"{source} is outside of the build context")
        reading.copied.append(CopySource(path, line))


def _expanded(text: str, values: Mapping[str, str], *, known: bool = True) -> str:
    """The text with its variables put in; one that has no value is an error if `known`."""

    def value(found: re.Match[str]) -> str:
        escaped, plain, braced, operator, other = found.groups()
        name = plain or braced
        if escaped:
            return found[0][1:]
        if operator == "+":
            return other if name in values else ""
        if name not in values and operator is None and known:
            raise ValueError(f"${name} has no value that is known before the build")
        return values.get(name) or (other if operator else "")

    return _VARIABLE.sub(value, text)
