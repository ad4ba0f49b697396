"""The command lines that kojid writes, and some that are refused."""

import shlex
from collections.abc import Callable
from types import ModuleType

import pytest

Driver = Callable[[str], ModuleType]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("--init", {"mode": "init", "clean": True}),
        ("--new-chroot --init", {"mode": "init"}),
        ("--old-chroot --chroot 'uname -r'", {"mode": "chroot", "words": ("uname -r",)}),
        ("--chroot --init-is-a-word", None),
        (
            "--no-clean --target x86_64 --rebuild /a/b.src.rpm",
            {"mode": "rebuild", "target": "x86_64", "words": ("/a/b.src.rpm",), "clean": False},
        ),
        (
            "--no-clean --target noarch --chroot -- rpm --define '_topdir /x' -iv /x.rpm",
            {"mode": "chroot", "words": ("rpm", "--define", "_topdir /x", "-iv", "/x.rpm")},
        ),
        (
            "--no-clean --unpriv --cwd /chroot_tmpdir/x --chroot make sources",
            {"mode": "chroot", "unpriv": True, "cwd": "/chroot_tmpdir/x",
             "words": ("make", "sources")},
        ),
        (
            "--no-clean --buildsrpm --spec /r/x.spec --sources /r --target noarch",
            {"mode": "buildsrpm", "spec": "/r/x.spec", "sources": "/r", "target": "noarch"},
        ),
        ("--install a b", {"mode": "install", "words": ("a", "b")}),
        (
            "--no-clean --chroot --unpriv --cwd /maven -- /usr/bin/mvn -C -Dx=y deploy",
            {"mode": "chroot", "unpriv": True, "cwd": "/maven",
             "words": ("/usr/bin/mvn", "-C", "-Dx=y", "deploy")},
        ),
        (
            "--arch i686 --chroot -- /bin/sh -c '{ x; } 2>&1 | tee -a -- /y'",
            {"arch": "i686", "words": ("/bin/sh", "-c", "{ x; } 2>&1 | tee -a -- /y")},
        ),
        ("--cwd /tmp --chroot -- a -- b", {"words": ("a", "--", "b")}),
    ],
)  # fmt: skip
def test_reads_what_kojid_writes(
    driver: Driver, line: str, expected: dict[str, object] | None
) -> None:
    argv = ["-r", "koji/t-1-1", *shlex.split(line)]
    if expected is None:
        with pytest.raises(driver("errors").MockError):
            driver("cli").parse(argv)
        return
    call = driver("cli").parse(argv)
    assert call.config == "koji/t-1-1"
    assert {key: getattr(call, key) for key in expected} == expected


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("", "exactly one of --init"),
        ("-r a --init --chroot x", "exactly one of --init"),
        ("--init", "-r CONFIG is needed"),
        ("-r a --install", "--install needs at least one word"),
        ("-r a --chroot", "--chroot needs at least one word"),
        ("-r a --rebuild", "--rebuild takes one SRPM, not 0"),
        ("-r a --rebuild b c", "--rebuild takes one SRPM, not 2"),
        ("-r a --buildsrpm --spec b", "--buildsrpm needs --spec and --sources"),
        ("-r a --init b", "--init takes no argument: b"),
        ("-r a --dance", "--dance not recognized"),
        ("-r a --cwd", "requires argument"),
    ],
)
def test_refuses_what_nobody_could_mean(driver: Driver, line: str, message: str) -> None:
    errors = driver("errors")
    with pytest.raises(errors.MockError, match=message) as failure:
        driver("cli").parse(shlex.split(line))
    assert failure.value.status == errors.Status.USAGE


def test_check_host_needs_no_buildroot(driver: Driver) -> None:
    assert driver("cli").parse(["--check-host"]).mode == "check-host"
