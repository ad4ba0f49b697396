"""The base image: used if it is there, else pulled, else made from Debian's own archive."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from nagoya.config.model import Base
from nagoya.engine import Engine, images
from nagoya.errors import CommandError, EngineError, SourceError
from nagoya.utils.command import installed, run_streaming
from nagoya.utils.progress import Progress

# As the registry's slim images are: no manual, no translation, no documentation but the licences.
_LEFT_OUT = ("man", "doc", "info", "locale", "groff", "lintian", "linda")
_HOOKS = "/usr/share/mmdebstrap/hooks/maybe-merged-usr"
"""Debian's own; without it perl comes along, only to merge /usr."""
_INSTALL = ("apt-get", "install", "--yes", "--no-install-recommends", "mmdebstrap")


def ensure(engine: Engine, base: Base, progress: Progress, *, install: bool = False) -> None:
    """See to it that the engine has the base image; the progress has it under its name.

    mmdebstrap is installed where it is missing if `install` allows that. Raises SourceError if
    there is no way to have the image.
    """

    def heard(line: str) -> None:
        progress.output(base.image, line)

    if images.exists(engine, base.image):
        progress.update(base.image, "done", "present")
        return
    progress.update(base.image, "working", "asking the registry")
    try:
        images.pull(engine, base.image, heard)
    except EngineError as error:
        heard(error.message)
    else:
        progress.update(base.image, "done", "pulled")
        return
    progress.update(base.image, "working", "no registry gives it; making it with mmdebstrap")
    _have_mmdebstrap(base, heard, install)
    _make(engine, base, heard)
    progress.update(base.image, "done", "made with mmdebstrap")


def _have_mmdebstrap(base: Base, heard: Callable[[str], None], install: bool) -> None:
    if installed("mmdebstrap"):
        return
    command = " ".join(_INSTALL)
    if not installed("apt-get"):
        raise SourceError(
            f"no registry gives {base.image}, and there is no mmdebstrap on this machine",
            f"on a Debian machine, make it there and bring it here with `docker save {base.image}` "
            "and `docker load`",
        )
    if not install or os.geteuid() != 0:
        raise SourceError(
            f"no registry gives {base.image}, and mmdebstrap, which can make it, is not installed",
            f"as root: {command}" + ("" if install else ", or: moromi base --install"),
        )
    quietly = {"DEBIAN_FRONTEND": "noninteractive"}
    try:
        run_streaming(["apt-get", "update"], heard, environment=quietly)
        run_streaming(_INSTALL, heard, environment=quietly)
    except CommandError as error:
        raise SourceError(f"mmdebstrap could not be installed: {error.message}") from None


def _make(engine: Engine, base: Base, heard: Callable[[str], None]) -> None:
    """Make the image and import it. Its mirror is mmdebstrap's default; apt's settings are the
    host's. The name and the resolvers of this machine stay out of it."""
    left_out = [f"--dpkgopt=path-exclude=/usr/share/{folder}/*" for folder in _LEFT_OUT]
    hooks = [f"--hook-dir={_HOOKS}"] if Path(_HOOKS).is_dir() else []
    with tempfile.TemporaryFile() as tar:
        try:
            run_streaming(
                [
                    "mmdebstrap",
                    "--variant=minbase",
                    "--format=tar",
                    *left_out,
                    "--dpkgopt=path-include=/usr/share/doc/*/copyright",
                    *hooks,
                    '--customize-hook=rm -f "$1/etc/hostname" "$1/etc/resolv.conf"',
                    base.suite,
                    "-",
                ],
                heard,
                # Makes it the same, byte for byte, as long as the archive is the same.
                environment={"SOURCE_DATE_EPOCH": "1577836800"},
                output=tar,
            )
        except CommandError as error:
            raise SourceError(
                f"{base.image} could not be made: {error.message}",
                "can this machine reach Debian's archive? `apt-get update` tells",
            ) from None
        tar.seek(0)
        heard("importing it")
        changes = ['CMD ["bash"]', f"LABEL {images.IMAGE_LABEL}={base.image}"]
        images.import_tar(engine, tar, base.image, changes)
