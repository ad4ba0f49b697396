"""Upstream's mock, for builds that this driver cannot do: docs/mock.md."""

import os
from pathlib import Path
from typing import NoReturn

import mounts
from kernel import KernelError, OomScore
from settings import Settings

# The image has it if moromi.yml declares the source `mock`.
PROGRAM = Path("/usr/libexec/mock/mock")


def wanted(settings: Settings) -> bool:
    """Whether this build needs it, and it is here."""
    return bool(settings.unsupported) and PROGRAM.exists()


def execute(argv: list[str], settings: Settings) -> NoReturn:
    """Become upstream's mock, with the same command line. Raises MockError if that fails.

    The other isolation, which --new-chroot asks for, takes systemd.
    """
    try:
        mounts.lend(settings.basedir)
    except KernelError as error:
        raise error.as_mock_error() from error
    OomScore().raise_to_first()
    os.execv(PROGRAM, [str(PROGRAM), "--isolation=simple", *argv])
