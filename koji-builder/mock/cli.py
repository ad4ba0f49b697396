"""The command line of mock, as far as Koji 1.30 to 1.36 uses it.

These are the forms in builder/kojid (class BuildRoot) and in the plugin runroot:

    mock -r CONFIG [--new-chroot|--old-chroot] --init
    mock -r CONFIG ... --install PACKAGE...
    mock -r CONFIG ... [--arch ARCH] [--unpriv] [--cwd DIR] --chroot [--] WORD...
    mock -r CONFIG ... --no-clean [--target ARCH] --rebuild SRPM
    mock -r CONFIG ... --no-clean --buildsrpm --spec FILE --sources DIR [--target ARCH]

and this one is for the builder's entrypoint: mock --check-host
"""

import getopt
from dataclasses import dataclass

from errors import MockError, Status

MODES = ("init", "install", "chroot", "rebuild", "buildsrpm", "check-host")
FLAGS = ("no-clean", "unpriv", "new-chroot", "old-chroot", "bootstrap-image-ready")
VALUES = ("root", "target", "arch", "cwd", "spec", "sources")


@dataclass(frozen=True)
class Call:
    """A parsed command line. `words` are the packages, the command or the one SRPM."""

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
    """Parse a command line. Options end at the first word, as `--chroot make sources` requires.

    `--new-chroot`, `--old-chroot` (systemd-nspawn or chroot) and `--bootstrap-image-ready` choose
    how upstream's mock works. This driver has one way of its own, and accepts them without effect.
    Raises MockError for a command line that kojid would not write.
    """
    longs = [*MODES, *FLAGS, *(f"{name}=" for name in VALUES)]
    try:
        options, words = getopt.getopt(argv, "r:", longs)
    except getopt.GetoptError as error:
        raise MockError(Status.USAGE, f"mock: {error}") from error
    values = {name.lstrip("-"): value for name, value in options}
    values["root"] = values.pop("r", values.get("root", ""))
    modes = [mode for mode in MODES if mode in values]
    if len(modes) != 1:
        choices = ", ".join(f"--{mode}" for mode in MODES)
        raise MockError(Status.USAGE, f"mock: exactly one of {choices} is needed")
    call = Call(
        mode=modes[0],
        config=values["root"],
        words=tuple(words),
        clean="no-clean" not in values,
        unpriv="unpriv" in values,
        cwd=values.get("cwd"),
        target=values.get("target"),
        arch=values.get("arch"),
        spec=values.get("spec"),
        sources=values.get("sources"),
    )
    _check(call)
    return call


def _check(call: Call) -> None:
    """Raise MockError if the arguments do not fit the mode."""
    problem = ""
    if call.mode != "check-host" and not call.config:
        problem = "-r CONFIG is needed"
    elif call.mode in ("install", "chroot") and not call.words:
        problem = f"--{call.mode} needs at least one word"
    elif call.mode == "rebuild" and len(call.words) != 1:
        problem = f"--rebuild takes one SRPM, not {len(call.words)}"
    elif call.mode == "buildsrpm" and not (call.spec and call.sources):
        problem = "--buildsrpm needs --spec and --sources"
    elif call.mode in ("init", "buildsrpm", "check-host") and call.words:
        problem = f"--{call.mode} takes no argument: {' '.join(call.words)}"
    if problem:
        raise MockError(Status.USAGE, f"mock: {problem}")
