"""Find a Dockerfile's parent images, build arguments and the files that it copies.

What needs BuildKit is refused, since images are built by the classic builder. A path with a
variable counts as `.`, the whole context: that costs time, a wrong guess would cost files.
https://docs.docker.com/reference/dockerfile/ has the rules.
"""

import json
import posixpath
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from nagoya.errors import DeclarationError

_DIRECTIVE = re.compile(r"#\s*(\w+)\s*=\s*(\S+)")
_FLAGS = re.compile(r"(?:--[\w-]+(?:=\S+)?\s+)*")
_ALLOWED_FLAGS = {"COPY": {"from", "chown"}, "ADD": {"from", "chown"}, "RUN": set[str]()}
_FROM = re.compile(rf"{_FLAGS.pattern}((?!--)\S+)(?:\s+AS\s+(\S+))?", re.IGNORECASE)
_HEREDOC = re.compile(r"\d*<<-?(\w+)")
_REMOTE = re.compile(r"(https?|ftp|git)://|git@")
_VARIABLE = re.compile(r"\$(?:(\w+)|\{(\w+)(?::([-+])([^${}]*))?\})")


@dataclass(frozen=True)
class CopySource:
    """A path of the context that COPY or ADD names, wildcards included; `.` is all of it."""

    path: str
    line: int


@dataclass
class Dockerfile:
    """`parents` are the images in FROM and COPY --from, without the file's own stages; `onbuild` is
    what an image that is built on this one copies from its own context."""

    path: Path
    parents: list[str] = field(default_factory=list)
    copied: list[CopySource] = field(default_factory=list)
    onbuild: list[CopySource] = field(default_factory=list)
    arguments: set[str] = field(default_factory=set)


def read(path: Path, arguments: Mapping[str, str] | None = None) -> Dockerfile:
    """Read a Dockerfile; build `arguments` take the place of its own defaults.

    Raises DeclarationError with every problem found, each with its line.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DeclarationError(str(path), [f"cannot be read: {error}"]) from None
    file, problems, stages, values = Dockerfile(path), [], list[str](), dict[str, str]()
    for line, instruction, rest in _instructions(lines):
        try:
            if instruction == "ARG":
                for name, equals, default in (word.partition("=") for word in _words(rest)):
                    file.arguments.add(name)
                    if not stages and (equals or name in (arguments or {})):
                        values[name] = (arguments or {}).get(name, _expand(default, values))
            elif instruction == "FROM":
                image, stage = _from(rest, values)
                _add_parent(file, image, stages)
                stages.append(stage)
            elif not stages and instruction != "# syntax=":
                raise ValueError(f"{instruction} comes before the first FROM")
            elif instruction == "ONBUILD":
                file.onbuild += _copied(file, line, *_split(rest), stages)
            else:
                file.copied += _copied(file, line, instruction, rest, stages)
        except ValueError as error:
            problems.append(f"line {line}: {error}")
    if not stages and not problems:
        problems.append("there is no FROM")
    if problems:
        raise DeclarationError(str(path), problems)
    return file


def _instructions(lines: Sequence[str]) -> Iterator[tuple[int, str, str]]:
    """Each instruction with its first line, continued lines joined, here-documents left out."""
    directives, escape, joined, first, ends = True, "\\", "", 0, list[str]()
    for number, line in enumerate(lines, 1):
        text = line.strip()
        if directives and (directive := _DIRECTIVE.fullmatch(text)):
            if directive[1].lower() == "syntax":
                yield number, "# syntax=", ""
            escape = directive[2] if directive[1].lower() == "escape" else escape
            continue
        directives = False
        if ends:
            ends = ends[1:] if text == ends[0] else ends
        elif text and not text.startswith("#"):
            first = first if joined else number
            joined += text.removesuffix(escape) + " "
            if not text.endswith(escape) or number == len(lines):
                yield first, *_split(joined)
                ends, joined = _heredocs(*_split(joined)), ""


def _from(rest: str, values: Mapping[str, str]) -> tuple[str, str]:
    """Image and stage of a FROM."""
    if not (match := _FROM.fullmatch(rest)):
        raise ValueError("FROM is not of the form FROM IMAGE [AS STAGE]")
    image = _expand(match[1], values)
    if not image or image.endswith(":"):
        raise ValueError(f"FROM {match[1]} names no image; give its ARG a value")
    return image, (match[2] or "").lower()


def _add_parent(file: Dockerfile, image: str, stages: Sequence[str]) -> None:
    name = image.removesuffix(":latest")
    if image.lower() not in stages and image != "scratch" and name not in file.parents:
        file.parents.append(name)


def _copied(
    file: Dockerfile, line: int, instruction: str, rest: str, stages: Sequence[str]
) -> Iterator[CopySource]:
    """What an instruction copies from the context, if it copies at all."""
    operands = _FLAGS.sub("", rest, count=1)
    flags = dict(re.findall(r"--([\w-]+)(?:=(\S+))?", rest.removesuffix(operands)))
    refused = [
        f"{instruction} --{flag}" for flag in flags.keys() - _ALLOWED_FLAGS.get(instruction, flags)
    ]
    refused += ["a here-document"] if _heredocs(instruction, rest) else []
    refused += [instruction] if instruction == "# syntax=" else []
    if refused:
        raise ValueError(f"{refused[0]} needs BuildKit, which is not used here")
    if "from" in flags:
        if not (flags["from"].isdigit() and int(flags["from"]) < len(stages)):
            _add_parent(file, flags["from"], stages)
    elif instruction in ("COPY", "ADD"):
        try:
            words = json.loads(operands) if operands.startswith("[") else operands.split()
        except ValueError:  # a wildcard, such as [ab]*.py
            words = operands.split()
        if len(words) < 2:
            raise ValueError(f"{instruction} needs a source and a destination")
        for source in words[:-1]:
            path = posixpath.normpath(source.lstrip("/") or ".")
            if re.search(r"[$\\]|\[\^", source):
                yield CopySource(".", line)
            elif path.startswith(".."):
                raise ValueError(f"{source} is outside of the build context")
            elif instruction == "COPY" or not _REMOTE.match(source):
                yield CopySource(path, line)


def _split(text: str) -> tuple[str, str]:
    word, _, rest = text.strip().partition(" ")
    return word.upper(), rest.strip()


def _heredocs(instruction: str, rest: str) -> list[str]:
    if instruction not in _ALLOWED_FLAGS or rest.startswith("["):
        return []
    return [match[1] for word in _words(rest) if (match := _HEREDOC.fullmatch(word))]


def _words(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError:  # a quote without its end, which only a shell minds
        return text.split()


def _expand(text: str, values: Mapping[str, str]) -> str:
    """The text with its variables replaced, the innermost first."""
    for _ in range(99):
        if not (match := _VARIABLE.search(text)):
            break
        value = values.get(match[1] or match[2], "")
        value = {"-": value or match[4], "+": value and match[4]}.get(match[3], value)
        text = text[: match.start()] + value + text[match.end() :]
    return text
