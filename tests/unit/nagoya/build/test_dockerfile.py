"""Reading Dockerfiles: what an image stands on, what it copies, what it takes."""

from pathlib import Path

import pytest

from nagoya.build.dockerfile import CopySource, Dockerfile, read
from nagoya.errors import DeclarationError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "Dockerfile"


def parsed(path: Path, text: str, **arguments: str) -> Dockerfile:
    path.write_text(text)
    return read(path, arguments)


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
        ("FROM ${A:-${B:-a}}\n", ("a",)),
        ("ARG B=b\nFROM ${A:-${B:-a}}${C:+c}${B:+d}\n", ("bd",)),
        ("FROM a AS one\n# syntax = not a directive here\nFROM one\n", ("a",)),
        ("# escape=`\nFROM `\n  a\nCOPY c:\\x `\nFROM /b\n", ("a",)),
        ("FROM a\nRUN sh -c 'cat <<EOF' && x <<< y\nFROM b\n", ("a", "b")),
        ("FROM a\nONBUILD COPY --from=b x y\n", ("a", "b")),
        ("# a comment\n\nFROM \\\n# another\n\n  a\n", ("a",)),
    ],
)
def test_parents(path: Path, text: str, parents: tuple[str, ...]) -> None:
    assert parsed(path, text).parents == list(parents)


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
        ("COPY [ab]*.py c /d/", ["[ab]*.py", "c"]),
        ("ENV A=1\nFROM x AS y\nFROM Y\nCOPY a$A b /c/", [".", "b"]),
        ("ARG A=1\nCOPY ${A:-a} /c/", ["."]),
        ("ENV PATH=/bin:$PATH\nCOPY a /b", ["a"]),
        ("COPY [^a]b \\*c /d/", [".", "."]),
        ("RUN echo '\nCOPY a /b", ["a"]),
        ("COPY \\\n  a \\\n  # of two\n  b \\\n  /c/", ["a", "b"]),
    ],
)
def test_what_is_copied(path: Path, text: str, copied: list[str]) -> None:
    assert [copy.path for copy in parsed(path, f"FROM x\n{text}\n").copied] == copied


def test_lines_are_reported(path: Path) -> None:
    file = parsed(path, "FROM a\n\nRUN b \\\n && c\nCOPY d /d\n")
    assert file.copied == [CopySource("d", 5)]


def test_build_arguments(path: Path) -> None:
    text = "ARG BASE=debian\nFROM $BASE\nARG BASE\nARG LEVEL=1 OTHER\n"
    assert parsed(path, text).arguments == {"BASE", "LEVEL", "OTHER"}
    assert parsed(path, text, BASE="fedora").parents == ["fedora"]
    assert parsed(path, "ARG BASE\nFROM $BASE\n", BASE="fed$BASE").parents


def test_what_a_child_copies_is_kept_apart(path: Path) -> None:
    file = parsed(path, "FROM a\nCOPY a /a\nONBUILD COPY --chown=1 b c /d/\nONBUILD RUN true\n")
    assert file.copied == [CopySource("a", 2)]
    assert file.onbuild == [CopySource("b", 3), CopySource("c", 3)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "there is no FROM"),
        ("# nothing\n", "there is no FROM"),
        ("RUN true\nFROM a\n", "line 1: RUN comes before the first FROM"),
        ("FROM\n", "line 1: FROM is not of the form FROM IMAGE [AS STAGE]"),
        ("FROM a b\n", "line 1: FROM is not of the form FROM IMAGE [AS STAGE]"),
        ("ARG B=\nFROM $B\n", "line 2: FROM $B names no image; give its ARG a value"),
        ("FROM a:$B\n", "line 1: FROM a:$B names no image; give its ARG a value"),
        ("FROM a\nCOPY b\n", "line 2: COPY needs a source and a destination"),
        ("FROM a\nCOPY ../b /b\n", "line 2: ../b is outside of the build context"),
        ("FROM a\nCOPY <<EOF /b\n", "line 2: a here-document needs BuildKit"),
        ("FROM a\nRUN <<EOF\nFROM b c\nEOF\nCOPY a /b\n", "line 2: a here-document needs"),
        ("FROM a\nRUN x <<-'A' 3<<B\nFROM b c\nA\nFROM\nB\n", "line 2: a here-document needs"),
        ("FROM a\nONBUILD COPY --link b /b\n", "line 2: COPY --link needs BuildKit"),
        ("FROM a\nCOPY --link b /b\n", "line 2: COPY --link needs BuildKit"),
        ("FROM a\nRUN --mount=type=cache,target=/x make\n", "line 2: RUN --mount needs BuildKit"),
        ("# syntax=docker/dockerfile:1\nFROM a\n", "line 1: # syntax= needs BuildKit"),
    ],
)
def test_what_is_wrong_is_reported(path: Path, text: str, message: str) -> None:
    with pytest.raises(DeclarationError) as caught:
        parsed(path, text)
    assert len(caught.value.problems) == 1
    assert caught.value.problems[0].startswith(message)


def test_a_missing_file(path: Path) -> None:
    with pytest.raises(DeclarationError, match="cannot be read"):
        read(path)
