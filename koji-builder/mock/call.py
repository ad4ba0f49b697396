"""What kojid asks: the command line of mock, as far as Koji 1.30 to 1.35 uses it.

kojid's buildroots (builder/kojid, class BuildRoot) and the runroot plugin write these forms:

    mock -r CONFIG [--new-chroot|--old-chroot] --init
    mock -r CONFIG ... --install PACKAGE...
    mock -r CONFIG ... [--arch ARCH] [--unpriv] [--cwd DIR] --chroot [--] WORD...
    mock -r CONFIG ... --no-clean [--target ARCH] --rebuild SRPM
    mock -r CONFIG ... --no-clean --buildsrpm --spec FILE --sources DIR [--target ARCH]

and, for whoever starts a builder: mock --check-host
"""

import getopt
from dataclasses import dataclass

from ending import Failed, Status

MODES = ("init", "install", "chroot", "rebuild", "buildsrpm", "check-host")
FLAGS = ("no-clean", "unpriv", "new-chroot", "old-chroot")
VALUES = ("root", "target", "arch", "cwd", "spec", "sources")


@dataclass(frozen=True)
class Call:
    """One call of mock. `words` are the packages, the command or the one SRPM."""

    mode: str
    config: str = ""
    words: tuple[str, ...] = ()
    clean: bool = True
    unpriv: bool = False
    cwd: str | None = None
    target: str | None = None
    arch: str | None = None
    spec: str | None = None
    sources: str | None = None


def parse(argv: list[str]) -> Call:
    """Read a command line; options end at the first word, as `--chroot make sources` needs it.

    `--new-chroot` and `--old-chroot` choose between systemd-nspawn and chroot in upstream's mock.
    This driver has one way only, which is neither, and takes them as said.
    """
    longs = [*MODES, *FLAGS, *(f"{name}=" for name in VALUES)]
    try:
        options, words = getopt.getopt(argv, "r:", longs)
    except getopt.GetoptError as error:
        raise Failed(Status.USAGE, f"mock: {error}") from error
    given = {name.lstrip("-"): value for name, value in options}
    given["root"] = given.pop("r", given.get("root", ""))
    modes = [mode for mode in MODES if mode in given]
    if len(modes) != 1:
        known = ", ".join(f"--{mode}" for mode in MODES)
        raise Failed(Status.USAGE, f"mock: exactly one of {known} is needed")
    call = Call(
        mode=modes[0],
        config=given["root"],
        words=tuple(words),
        clean="no-clean" not in given,
        unpriv="unpriv" in given,
        cwd=given.get("cwd"),
        target=given.get("target"),
        arch=given.get("arch"),
        spec=given.get("spec"),
        sources=given.get("sources"),
    )
    _check(call)
    return call


def _check(call: Call) -> None:
    """Refuse what cannot be done, before anything is done."""
    wrong = ""
    if call.mode != "check-host" and not call.config:
        wrong = "-r CONFIG is needed"
    elif call.mode in ("install", "chroot") and not call.words:
        wrong = f"--{call.mode} needs at least one word"
    elif call.mode == "rebuild" and len(call.words) != 1:
        wrong = f"--rebuild takes one SRPM, not {len(call.words)}"
    elif call.mode == "buildsrpm" and not (call.spec and call.sources):
        wrong = "--buildsrpm needs --spec and --sources"
    elif call.mode in ("init", "buildsrpm", "check-host") and call.words:
        wrong = f"--{call.mode} takes no further word: {' '.join(call.words)}"
    if wrong:
        raise Failed(Status.USAGE, f"mock: {wrong}")
