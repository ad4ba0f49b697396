"""The base image: used if present, else pulled, else built from Debian's archive."""

import os
import shutil
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

from nagoya.config.model import Base
from nagoya.engine import Engine, image_builds, images, registry
from nagoya.errors import CommandError, EngineError, SourceError
from nagoya.utils.command import run_streaming
from nagoya.utils.progress import Progress

# Like the registry's slim images: no manuals, translations, or documentation other than licences.
_EXCLUDED = ("man", "doc", "info", "locale", "groff", "lintian", "linda")
_HOOKS = "/usr/share/mmdebstrap/hooks/maybe-merged-usr"
"""Comes with mmdebstrap; without it, perl is installed only to merge /usr."""
_INSTALL = ("apt-get", "install", "--yes", "--no-install-recommends", "mmdebstrap")


def ensure(engine: Engine, base: Base, progress: Progress, *, install: bool = False) -> None:
    """Pull or build the base image, unless the engine has it; the progress shows it by its name.

    With `install`, installs mmdebstrap where it is missing. Raises SourceError if the image can
    neither be pulled nor built.
    """
    on_line = partial(progress.output, base.image)
    if images.exists(engine, base.image):
        progress.update(base.image, "done", "present")
        return
    progress.update(base.image, "working", "asking the registry")
    try:
        registry.pull(engine, base.image, on_line)
        progress.update(base.image, "done", "pulled")
        return
    except EngineError as error:
        on_line(error.message)
    progress.update(base.image, "working", "not found in any registry; building it with mmdebstrap")
    _require_mmdebstrap(base, on_line, install)
    _build(engine, base, on_line)
    progress.update(base.image, "done", "built with mmdebstrap")


def _require_mmdebstrap(base: Base, on_line: Callable[[str], None], install: bool) -> None:
    if shutil.which("mmdebstrap"):
        return
    command = " ".join(_INSTALL)
    if not shutil.which("apt-get"):
        raise SourceError(
            f"{base.image} was not found in any registry, and this machine has no mmdebstrap",
            f"build it on a Debian machine, and copy it here with `docker save {base.image}` and "
            "`docker load`",
        )
    if not install or os.geteuid() != 0:
        raise SourceError(
            f"{base.image} was not found in any registry, and mmdebstrap, which can build it, is "
            "not installed",
            f"as root: {command}" + ("" if install else ", or: moromi base --install"),
        )
    environment = {"DEBIAN_FRONTEND": "noninteractive"}
    try:
        run_streaming(["apt-get", "update"], on_line, environment=environment)
        run_streaming(_INSTALL, on_line, environment=environment)
    except CommandError as error:
        raise SourceError(f"mmdebstrap could not be installed: {error.message}") from None


def _build(engine: Engine, base: Base, on_line: Callable[[str], None]) -> None:
    """Build the image and import it, without this machine's host name and resolvers.

    The mirror is mmdebstrap's default, apt's settings are the host's.
    """
    excluded = [f"--dpkgopt=path-exclude=/usr/share/{folder}/*" for folder in _EXCLUDED]
    hooks = [f"--hook-dir={_HOOKS}"] if Path(_HOOKS).is_dir() else []
    command = ["mmdebstrap", "--variant=minbase", "--format=tar", *excluded, *hooks]
    command += ["--dpkgopt=path-include=/usr/share/doc/*/copyright"]
    command += ['--customize-hook=rm -f "$1/etc/hostname" "$1/etc/resolv.conf"', base.suite, "-"]
    with tempfile.TemporaryFile() as tar:
        try:
            # The same archive yields the same image, byte for byte.
            epoch = {"SOURCE_DATE_EPOCH": "1577836800"}
            run_streaming(command, on_line, environment=epoch, output=tar)
        except CommandError as error:
            raise SourceError(
                f"mmdebstrap could not build {base.image}: {error.message}",
                f"check that Debian's archive is reachable (`apt-get update`) and has {base.suite}",
            ) from None
        tar.seek(0)
        on_line("importing it")
        changes = ['CMD ["bash"]', f"LABEL {images.IMAGE_LABEL}={base.image}"]
        image_builds.import_tar(engine, tar, base.image, changes)
