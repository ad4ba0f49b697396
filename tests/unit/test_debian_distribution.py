"""How Debian's packages become a distribution of RPMs."""

import os
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
from packaging.requirements import Requirement

from tests.debian_distribution import provides, spec, tables
from tests.debian_distribution.closure import Package, Relation, closure, parse_index

INDEX = """Package: shell
Version: 5.2-1
Architecture: amd64
Pre-Depends: libc6 (>= 2.36), base-files
Depends: awk | busybox, shell-data:any (= 5.2-1)
Provides: sh (= 1), posix-shell
Conflicts: posix-shell, old-shell (<< 2:4.0-1~)
Description: A shell
 with a long description

Package: libc6
Version: 2.41-12+deb13u4
Architecture: amd64
Description: A library

Package: mawk
Version: 1.3.4.20250131-1
Architecture: amd64
Provides: awk
Description: An awk

Package: gawk
Version: 1:5.2.1-2+b1
Architecture: amd64
Provides: awk
Depends: libc6
Description: Another awk

Package: shell-data
Version: 5.2-1
Architecture: all
Description: Data
"""
ARCHIVE = parse_index(INDEX)


def test_a_record_is_read() -> None:
    assert ARCHIVE["shell"] == Package(
        name="shell",
        version="5.2-1",
        architecture="amd64",
        summary="A shell",
        depends=(
            (Relation("libc6", ">=", "2.36"),),
            (Relation("base-files"),),
            (Relation("awk"), Relation("busybox")),
            (Relation("shell-data", "=", "5.2-1"),),
        ),
        conflicts=(Relation("posix-shell"), Relation("old-shell", "<<", "2:4.0-1~")),
        provides=(Relation("sh", "=", "1"), Relation("posix-shell")),
    )


def test_dependencies_are_taken_and_alternatives_that_are_wanted_preferred() -> None:
    left_out = ["base-files"]
    assert list(closure(ARCHIVE, ["shell"], left_out)) == ["gawk", "libc6", "shell", "shell-data"]
    wanted = list(closure(ARCHIVE, ["shell", "mawk"], left_out))
    assert wanted == ["libc6", "mawk", "shell", "shell-data"]


@pytest.mark.parametrize(
    ("version", "parts"),
    [
        ("1.3-2", ("", "1.3", "2")),
        ("4:13.2.0-3+really12.2.0-3", ("4", "13.2.0.3+really12.2.0", "3")),
        ("3.25", ("", "3.25", "0")),
        ("1.19+dfsg-2~deb13u1", ("", "1.19+dfsg", "2~deb13u1")),
    ],
)
def test_versions(version: str, parts: tuple[str, str, str]) -> None:
    assert spec.split_version(version) == parts


@pytest.mark.parametrize(
    ("relation", "text"),
    [
        (Relation("a"), "a"),
        (Relation("a", ">=", "1:2-3~"), "a >= 1:2-3~"),
        (Relation("a", ">>", "2"), "a >= 2"),
        (Relation("a", ">>", "2-1"), "a > 2-1"),
        (Relation("a", "<<", "2"), "a < 2"),
        (Relation("a", "<<", "2-."), "a <= 2"),
    ],
)
def test_dependencies(relation: Relation, text: str) -> None:
    assert spec.dependency(relation) == text


def test_the_spec_of_a_package(tmp_path: Path) -> None:
    (tmp_path / "usr").mkdir()
    text = spec.spec(ARCHIVE["shell"], tmp_path, '"/usr/bin/shell"', ["libshell.so"], ["libc.so"])
    for line in (
        "Release: 1",
        "Requires: libc6 >= 2.36",
        "Requires: (awk or busybox)",
        "Requires: shell-data = 5.2-1",
        "Requires: libc.so",
        "Provides: sh = 1",
        "Provides: posix-shell = 5.2-1",
        "Provides: libshell.so",
        "Conflicts: old-shell < 2:4.0-1~",
        '"/usr/bin/shell"',
    ):
        assert f"\n{line}\n" in text
    # It may not conflict with itself, nor require what the distribution does without.
    assert "Conflicts: posix-shell" not in text
    assert "base-files" not in text
    assert "BuildArch: noarch" in spec.spec(ARCHIVE["shell-data"], tmp_path, "", [], [])


def test_names_of_development_packages() -> None:
    assert spec.development_names("libpopt-dev") == ["libpopt-devel", "popt-devel"]
    assert spec.development_names("zlib1g") == []


def test_a_tree_gets_a_merged_usr_and_its_links(tmp_path: Path) -> None:
    for name in ("bin/bash", "lib/x/y", "usr/lib/x/z", "usr/share/doc/bash/README"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    spec.arrange(tmp_path, "bash")
    files = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if not path.is_dir()}
    assert files == {"usr/bin/bash", "usr/bin/sh", "usr/lib/x/y", "usr/lib/x/z"}
    assert os.readlink(tmp_path / "usr/bin/sh") == "bash"  # noqa: PTH115 - as it is written


def test_the_list_of_files(tmp_path: Path) -> None:
    (tmp_path / "etc/x").mkdir(parents=True)
    (tmp_path / "etc/x/100%").touch()
    (tmp_path / "etc/link").symlink_to("x")
    files = spec.file_list(tmp_path, frozenset({"/", "/etc"}), ["/etc/x/100%"])
    assert files.splitlines() == [
        '"/etc/link"',
        '%config(noreplace) "/etc/x/100%%"',
        '%dir "/etc/x"',
    ]


@pytest.mark.parametrize(
    ("name", "content", "answer"),
    [
        ("lib/pkgconfig/a.pc", "v=2\nVersion: ${v}.1\n", "pkgconfig(a) = 2.1"),
        ("lib/pkgconfig/a.pc", "Name: a\n", "pkgconfig(a)"),
        ("share/perl5/A/B.pm", "package A::B;\nour $VERSION = '1.0_2';\n", "perl(A::B) = 1.02"),
        ("share/perl5/A/B.pm", "package Other;\n", None),
        ("lib/x86_64-linux-gnu/perl/5.40/C.pm", "package C;\n$VERSION = 3;", "perl(C) = 3"),
        (
            "lib/python3/dist-packages/A_b-1.dist-info/METADATA",
            "Name: A_b\nVersion: 1.2\n\nVersion: 3\n",
            "python3dist(a-b) = 1.2",
        ),
        ("lib/cmake/GTest/GTestConfig.cmake", "", "cmake(GTest)"),
        ("lib/cmake/gtest/gtest-config.cmake", "", "cmake(gtest)"),
        ("bin/other", "", None),
    ],
)
def test_what_a_file_provides(tmp_path: Path, name: str, content: str, answer: str) -> None:
    path = tmp_path / "usr" / name
    path.parent.mkdir(parents=True)
    path.write_text(content)
    assert provides.provided(path) == answer


def test_a_link_to_a_file_of_another_package(tmp_path: Path) -> None:
    path = tmp_path / "python3.pc"
    path.symlink_to("python-3.13.pc")
    assert provides.provided(path) == "pkgconfig(python3)"
    (tmp_path / "A.pm").symlink_to("B.pm")
    assert provides.provided(tmp_path / "A.pm") is None


def test_what_has_a_table_of_its_own_is_in_no_other() -> None:
    assert not set(tables.LEFT_OUT) & {*tables.BUILDROOT, *tables.SHORT, *tables.LONG}
    assert not set(tables.SHORT) & set(tables.LONG)


@pytest.mark.parametrize(
    ("requirement", "rpm"),
    [
        ("Foo_bar", "python3dist(foo-bar)"),
        ("foo>=1.2", "python3dist(foo) >= 1.2"),
        ("foo==1.2", "python3dist(foo) = 1.2"),
        ("foo>=1,<3", "(python3dist(foo) < 3 with python3dist(foo) >= 1)"),
        ("foo~=1.4.2", "(python3dist(foo) >= 1.4.2 with python3dist(foo) < 1.5)"),
        ("foo==2.*", "(python3dist(foo) >= 2 with python3dist(foo) < 3)"),
        ("foo!=2", "python3dist(foo)"),
    ],
)
def test_pythons_requirements_as_rpm_writes_them(
    load_script: Callable[[str], ModuleType], requirement: str, rpm: str
) -> None:
    script = load_script("tests/debian_distribution/own/pyproject.py")
    assert script.rpm_requirement(Requirement(requirement)) == rpm
