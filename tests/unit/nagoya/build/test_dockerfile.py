"""Reading Dockerfiles: what an image stands on, what it copies, what it takes."""

from pathlib import Path

import pytest

from nagoya.build.dockerfile import CopySource, Dockerfile, read
from nagoya.errors import DeclarationError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "Dockerfile"


def parsed(path: Path, text: str, **given: str) -> Dockerfile:
    path.write_text(text)
    return read(path, given)


@pytest.mark.parametrize(
    ("text", "parents"),
    [
        ("FROM debian:bookworm-slim\n", ("debian:bookworm-slim",)),
        ("from koji-base:latest as one", ("koji-base",)),
        ("FROM --platform=linux/amd64 koji-base\n", ("koji-base",)),
        ("FROM scratch\n", ()),
        ("ARG TAG=12\nFROM debian:${TAG}\n", ("debian:12",)),
        ("ARG A=b\nARG C=$A-c\nFROM $C\n", ("b-c",)),
        ("FROM ${NAME:-debian}:1\n", ("debian:1",)),
        ("FROM a AS one\nFROM one AS two\nFROM b\nFROM TWO\n", ("a", "b")),
        ("FROM a AS one\nFROM b\nCOPY --from=one /x /x\nCOPY --from=0 /x /x\n", ("a", "b")),
        ("FROM a\nCOPY --chown=1:1 --from=c:1 /x /x\n", ("a", "c:1")),
        ("# a comment\n\nFROM \\\n# another\n\n  a\n", ("a",)),
    ],
)
def test_parents(path: Path, text: str, parents: tuple[str, ...]) -> None:
    assert parsed(path, text).parents == parents


@pytest.mark.parametrize(
    ("text", "copied"),
    [
        ("COPY util /usr/lib/util", ["util"]),
        ("COPY ./a/ /b/../c d/*.py /e/", ["a", "c", "d/*.py"]),
        ("COPY . /all", ["."]),
        ("COPY / /all", ["."]),
        ('COPY ["a file", "b", "/c/"]', ["a file", "b"]),
        ("COPY --chown=0:0 a /a", ["a"]),
        ("ADD https://host/file a /x/", ["a"]),
        ("COPY --from=other /a /a", []),
        ("ARG WHICH=a\nCOPY $WHICH/b /b", ["a/b"]),
        ("ENV ONE=1 TWO='2 3'\nCOPY x${ONE} /b", ["x1"]),
        ("ENV ONE 1\nCOPY x$ONE /b", ["x1"]),
        ("ENV PATH=/bin:$PATH\nCOPY a /b", ["a"]),
        ("COPY \\\n  a \\\n  # of two\n  b \\\n  /c/", ["a", "b"]),
    ],
)
def test_what_is_copied(path: Path, text: str, copied: list[str]) -> None:
    assert [one.path for one in parsed(path, f"FROM x\n{text}\n").copied] == copied


def test_lines_are_told(path: Path) -> None:
    file = parsed(path, "FROM a\n\nRUN b \\\n && c\nCOPY d /d\n")
    assert file.copied == (CopySource("d", 5),)


def test_build_arguments(path: Path) -> None:
    text = "ARG BASE=debian\nFROM $BASE\nARG BASE\nARG LEVEL=1 OTHER\nCOPY $BASE-$LEVEL /x\n"
    assert parsed(path, text).arguments == {"BASE", "LEVEL", "OTHER"}
    given = parsed(path, text, BASE="fedora", LEVEL="2")
    assert given.parents == ("fedora",)
    assert given.copied[0].path == "fedora-2"


def test_an_argument_belongs_to_its_stage(path: Path) -> None:
    with pytest.raises(DeclarationError, match="line 4: \\$A has no value"):
        parsed(path, "FROM a\nARG A=1\nFROM b\nCOPY $A /x\n")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "there is no FROM in it"),
        ("# nothing\n", "there is no FROM in it"),
        ("RUN true\nFROM a\n", "line 1: RUN stands before the first FROM"),
        ("FROM\n", "line 1: FROM is not of the form FROM IMAGE [AS STAGE]"),
        ("FROM a b\n", "line 1: FROM is not of the form FROM IMAGE [AS STAGE]"),
        ("ARG B=\nFROM $B\n", "line 2: the name of the image comes out empty"),
        ("FROM $B\n", "line 1: $B has no value that is known before the build"),
        ("FROM a\nCOPY b\n", "line 2: COPY needs what to copy, and where to"),
        ("FROM a\nCOPY ../b /b\n", "line 2: ../b is outside of the build context"),
        ("FROM a\nCOPY <<EOF /b\n", "line 2: a here-document needs BuildKit"),
        ("FROM a\nCOPY --link b /b\n", "line 2: COPY --link needs BuildKit"),
        ("FROM a\nRUN --mount=type=cache,target=/x make\n", "line 2: RUN --mount needs BuildKit"),
        ("# syntax=docker/dockerfile:1\nFROM a\n", "line 1: '# syntax=' needs BuildKit"),
    ],
)
def test_what_is_wrong_is_told(path: Path, text: str, told: str) -> None:
    with pytest.raises(DeclarationError) as caught:
        parsed(path, text)
    assert len(caught.value.problems) == 1
    assert caught.value.problems[0].startswith(told)


def test_a_missing_file(path: Path) -> None:
    with pytest.raises(DeclarationError, match="cannot be read"):
        read(path)
