"""The demo's scripts, and that its seed, packages and buildroot agree."""

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml


@pytest.fixture
def buildroot(load_script: Callable[[str], ModuleType]) -> ModuleType:
    return load_script("demo/buildroot.py")


@pytest.fixture
def sources(load_script: Callable[[str], ModuleType]) -> ModuleType:
    return load_script("demo/sources.py")


@pytest.fixture
def seed(checkout: Path) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((checkout / "demo/seed.yml").read_text()))


def test_a_spec_packs_a_tree_as_it_is(buildroot: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "usr/bin").mkdir(parents=True)
    (tmp_path / "usr/bin/tool").write_text("x")
    (tmp_path / "bin").symlink_to("usr/bin")
    (tmp_path / "tmp").mkdir()
    (tmp_path / "tmp").chmod(0o1777)
    (tmp_path / "var").mkdir()
    (tmp_path / "var").chmod(0o755)
    listed = buildroot.file_list(tmp_path).splitlines()
    assert '"/usr/bin/tool"' in listed
    assert '"/bin"' in listed
    assert '%dir %attr(1777, root, root) "/tmp"' in listed
    assert '%dir %attr(755, root, root) "/var"' in listed
    text = buildroot.spec(buildroot.GCC, tmp_path)
    assert "AutoReqProv: no" in text
    assert "Provides: gcc\n" in text
    assert "Requires: demo-buildroot\n" in text


@pytest.mark.parametrize(
    ("file", "left_out"),
    [
        ("/usr/share/doc/gcc/README", True),
        ("/usr/lib/gcc/x86_64-linux-gnu/12/lto1", True),
        ("/usr/lib/gcc/x86_64-linux-gnu/12/cc1", False),
        ("/usr/lib/gcc/x86_64-linux-gnu/12/libasan.so", True),
        ("/usr/lib/x86_64-linux-gnu/libc.a", True),
        ("/usr/lib/x86_64-linux-gnu/libc_nonshared.a", False),
        ("/usr/lib/rpm/macros", False),
    ],
)
def test_leaves_out_what_a_build_does_not_read(
    buildroot: ModuleType, file: str, left_out: bool
) -> None:
    assert buildroot.is_excluded(file) is left_out


def test_a_link_comes_with_its_target(
    buildroot: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "program").write_text("x")
    (tmp_path / "link").symlink_to("program")
    monkeypatch.setattr(buildroot, "debian_files", lambda _: [str(tmp_path / "link")])
    monkeypatch.setattr(buildroot, "libraries", lambda _: set())
    files = buildroot.gather(buildroot.GCC, set())
    assert files == {tmp_path / "link", tmp_path / "program"}
    assert buildroot.gather(buildroot.GCC, files) == set()


@pytest.mark.parametrize("argv", [[], ["/x", "no-such-package"]])
def test_sources_says_how_it_is_called(
    sources: ModuleType, argv: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert sources.main(argv) == 2
    assert "usage: sources.py DIRECTORY [PACKAGE...], of fails, greeter" in capsys.readouterr().err


def test_the_same_sources_have_the_same_commit(sources: ModuleType, tmp_path: Path) -> None:
    hashes = set()
    for number in range(2):
        work = tmp_path / str(number)
        work.mkdir()
        bare = work / "hello.git"
        hashes.add(sources.make_repository(sources.PACKAGES / "hello", bare, work))
        # What git's dumb HTTP protocol asks for first.
        assert hashes == {(bare / "info/refs").read_text().split()[0]}
    assert len(hashes) == 1


def test_every_package_of_the_demo_is_in_the_seed(
    seed: list[dict[str, Any]], sources: ModuleType
) -> None:
    tags = {record["name"]: record for record in seed if record["type"] == "tag"}
    named = {package["name"] for package in tags["demo"]["packages"]}
    assert named == {path.name for path in sources.PACKAGES.iterdir()}
    for path in sources.PACKAGES.iterdir():
        assert (path / f"{path.name}.spec").exists()
        assert "sources:" in (path / "Makefile").read_text()


def test_groups_name_packages_by_their_own_names(
    seed: list[dict[str, Any]], buildroot: ModuleType
) -> None:
    recipes = {buildroot.BUILDROOT.name, buildroot.GCC.name}
    (tag,) = [
        record for record in seed if record["type"] == "tag" and record["name"] == "demo-build"
    ]
    assert {package["name"] for package in tag["packages"]} == recipes
    assert {group["name"] for group in tag["groups"]} == {"build", "srpm-build"}
    for group in tag["groups"]:
        assert {package["name"] for package in group["packages"]} <= recipes


def test_targets_lead_to_tags_that_are_there(seed: list[dict[str, Any]]) -> None:
    tags = {record["name"] for record in seed if record["type"] == "tag"}
    for target in (record for record in seed if record["type"] == "target"):
        assert {target["build-tag"], target["dest-tag"]} <= tags
    parents = [link["name"] for record in seed for link in record.get("inheritance", [])]
    assert set(parents) <= tags
    assert json.dumps(seed)  # nothing in it but plain values
