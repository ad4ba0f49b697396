"""The build context: what is in it, and what makes it another one."""

import io
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from nagoya.build import dockerfile
from nagoya.build.context import Context
from nagoya.errors import DeclarationError

FILES = {
    "hub/Dockerfile": "FROM scratch\nCOPY util /util\nCOPY hub/*.py /\n",
    "hub/setup.py": "setup",
    "hub/notes.txt": "no part of it",
    "util/a.py": "a",
    "util/deep/b.py": "b",
    "util/deep/__pycache__/b.pyc": "compiled",
    "other/secret": "none of its business",
}

Tree = Callable[..., Path]


def context(root: Path) -> Context:
    return Context(root, dockerfile.read(root / "hub" / "Dockerfile"))


def members(files: Context) -> list[tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(b"".join(files.tar()))) as archive:
        return archive.getmembers()


def test_only_what_is_copied_is_in_it(tree: Tree) -> None:
    files = context(tree({**FILES, ".dockerignore": "**/__pycache__\n**/*.pyc\n"}))
    assert files.paths == [
        "hub/Dockerfile", "hub/setup.py", "util", "util/a.py", "util/deep", "util/deep/b.py",
    ]  # fmt: skip
    assert [member.name for member in members(files)] == files.paths


def test_dockerignore_may_let_in_again(tree: Tree) -> None:
    rules = "# all but two\n*\n!hub\n!util\n\nutil/deep\n"
    assert context(tree({**FILES, ".dockerignore": rules})).paths == [
        "hub/Dockerfile", "hub/setup.py", "util", "util/a.py",
    ]  # fmt: skip


def test_it_is_packed_the_same_wherever_and_whenever(tree: Tree) -> None:
    first, second = context(tree(FILES, at="one")), context(tree(FILES, at="other"))
    os.utime(second.root / "util/a.py", (1, 1))
    (second.root / "util/a.py").chmod(0o600)
    assert b"".join(first.tar()) == b"".join(second.tar())
    assert first.digests() == second.digests()
    assert {(m.uid, m.gid, m.uname, m.mtime) for m in members(first)} == {(0, 0, "", 1577836800)}


@pytest.mark.parametrize(
    "change",
    [
        lambda root: (root / "util/a.py").write_text("other"),
        lambda root: (root / "util/a.py").chmod(0o755),
        lambda root: (root / "util/a.py").rename(root / "util/c.py"),
        lambda root: (root / "util/new").symlink_to("a.py"),
        lambda root: (root / "util/empty").mkdir(),
        lambda root: (root / "hub/Dockerfile").write_text(FILES["hub/Dockerfile"] + "RUN true"),
    ],
)
def test_any_change_makes_another(tree: Tree, change: Callable[[Path], object]) -> None:
    root = tree(FILES)
    before = context(root).digests()
    change(root)
    assert context(root).digests() != before


def test_what_is_not_copied_changes_nothing(tree: Tree) -> None:
    root = tree(FILES)
    before = context(root).digests()
    tree({"other/secret": "changed", "hub/notes.txt": "changed"})
    assert context(root).digests() == before


def test_links_are_kept_as_links(tree: Tree) -> None:
    root = tree(FILES)
    (root / "util/link").symlink_to("deep")
    (link,) = (member for member in members(context(root)) if member.name == "util/link")
    assert link.issym()
    assert link.linkname == "deep"


def test_the_whole_tree(tree: Tree) -> None:
    root = tree({**FILES, "hub/Dockerfile": "FROM scratch\nCOPY . /\n"})
    assert "other/secret" in context(root).paths


def test_large_files_come_in_chunks(tree: Tree) -> None:
    files = context(tree({**FILES, "util/large": "x" * 3_000_000}))
    assert len(list(files.tar())) > 1
    assert ("util/large", 3_000_000) in [(m.name, m.size) for m in members(files)]


@pytest.mark.parametrize("ignored", ["", "src\n"])
def test_what_is_copied_has_to_be_there(tree: Tree, ignored: str) -> None:
    text = "FROM scratch\nCOPY hub /\nCOPY src/koji /x\nCOPY hub/*.sh /\n"
    files = {"hub/Dockerfile": text, ".dockerignore": ignored}
    if ignored:
        files["src/koji/a"] = "is there, but not let in"
    with pytest.raises(DeclarationError) as caught:
        context(tree(files))
    assert caught.value.problems == (
        "line 3: no such file or folder: src/koji",
        "line 4: no such file or folder: hub/*.sh",
    )
    assert "moromi fetch" in str(caught.value.hint)


def test_a_source_that_is_no_tree_of_its_name(tree: Tree) -> None:
    text = "FROM scratch\nCOPY src/koji/*/schema*.sql /x\n"
    with pytest.raises(DeclarationError) as caught:
        context(tree({"hub/Dockerfile": text, "src/koji/readme": ""}))
    assert "line 2: no such file or folder: src/koji/*/schema*.sql" in str(caught.value)
    assert "point sources.koji in moromi.yml to a source tree of koji" in str(caught.value.hint)
