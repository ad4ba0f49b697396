"""koji-builder's setup on a temporary root: it corrects only a Koji that needs it."""

import subprocess
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture
def setup(load_script: Callable[[str], ModuleType]) -> ModuleType:
    return load_script("koji-builder/setup.py")


def daemon(setup: ModuleType, root: Path, line: str) -> dict[str, str]:
    """What a daemon.py with that line makes of a path, once it is set up."""
    path = root / setup.DAEMON
    path.parent.mkdir(parents=True)
    path.write_text(
        f"import os.path, urllib.parse\ndef parsed(path):\n        {line}\n        return path\n"
    )
    setup.decode_scm_paths(root)
    names: dict[str, Callable[[str], str]] = {}
    exec(path.read_text(), names)
    paths = ("/good/%2e%2e/bad", "/good/%252e%252e/bad", "/good/%2E./bad", "/a%20b/c++/~d@e=f")
    return {path: names["parsed"](path) for path in paths}


def test_a_path_is_decoded_once_before_it_is_settled(setup: ModuleType, tmp_path: Path) -> None:
    assert daemon(setup, tmp_path, "path = os.path.normpath(path)") == {
        "/good/%2e%2e/bad": "/bad",
        # A server decodes it once as well: it is the name of a folder.
        "/good/%252e%252e/bad": "/good/%252e%252e/bad",
        "/good/%2E./bad": "/bad",
        # Otherwise a URL stays as it is, so that patterns in allowed_scms still match.
        "/a%20b/c++/~d@e=f": "/a%20b/c++/~d@e=f",
    }


def test_a_koji_that_decodes_stays_as_it_is(setup: ModuleType, tmp_path: Path) -> None:
    line = "path = os.path.normpath(urllib.parse.unquote(path))"
    assert daemon(setup, tmp_path, line)["/a%20b/c++/~d@e=f"] == "/a b/c++/~d@e=f"
    assert line in (tmp_path / setup.DAEMON).read_text()


def test_a_kojid_that_finds_the_rpm_database_stays_as_it_is(
    setup: ModuleType, tmp_path: Path
) -> None:
    path = tmp_path / setup.KOJID
    path.parent.mkdir(parents=True)
    path.write_text('rpm.addMacro("_dbpath", dbpath)\n')
    setup.find_rpm_database(tmp_path)
    assert path.read_text() == 'rpm.addMacro("_dbpath", dbpath)\n'
    assert path.stat().st_mode & 0o777 == 0o755


def test_repositories_are_compressed_with_gzip(setup: ModuleType, tmp_path: Path) -> None:
    kojid = tmp_path / setup.KOJID
    kojid.parent.mkdir(parents=True)
    commands = [
        ["/usr/bin/createrepo_c", "--error-exit-val"],
        ["/usr/bin/mergerepo_c", "--version"],
        ["/usr/bin/mergerepo_c", "--koji", "--simple"],
        ["/usr/bin/mergerepo_c", "--pkgorigins", "--all"],
    ]
    kojid.write_text("\n".join(f"cmd = {command}" for command in commands))
    for _ in range(2):  # `update` of docs/examples/developing runs it again
        setup.compress_with_gzip(tmp_path)
    assert kojid.read_text().splitlines() == [
        "cmd = ['/usr/bin/createrepo_c', '--error-exit-val', '--general-compress-type=gz']",
        "cmd = ['/usr/bin/mergerepo_c', '--version']",
        "cmd = ['/usr/bin/mergerepo_c', '--compress-type=gz', '--koji', '--simple']",
        "cmd = ['/usr/bin/mergerepo_c', '--compress-type=gz', '--pkgorigins', '--all']",
    ]


@pytest.mark.parametrize(
    ("program", "status"),
    [
        ("echo 12:30:01: Processing; echo C_CREATEREPOLIB: Warning: odd >&2", 0),
        # What mergerepo_c 0.17.3 says of a repository in zstd.
        ('echo C_CREATEREPOLIB: Critical: Cannot load repo: \\"x\\" >&2; echo done', 1),
        ("echo Critical: Cannot open file", 1),
        ("echo not so; exit 3", 3),
        ("kill $$", 143),
    ],
)
def test_a_repository_that_was_not_made_is_a_failure(
    setup: ModuleType, tmp_path: Path, program: str, status: int
) -> None:
    folder = tmp_path / "usr/bin"
    folder.mkdir(parents=True)
    for name in setup.REPOSITORY_PROGRAMS:
        (tmp_path / name).write_text(f'#!/bin/sh\necho $#: "$2"\n{program}\n')
        (tmp_path / name).chmod(0o755)
    for _ in range(2):
        setup.check_repositories(tmp_path)
    for name in setup.REPOSITORY_PROGRAMS:
        argv = [tmp_path / name, "-r", "a  b"]
        ended = subprocess.run(argv, check=False, capture_output=True, text=True)
        assert ended.returncode == status
        assert ended.stdout.startswith("2: a  b\n")
