"""Root folders of other Debians, with the engines that their archives have."""

import re
import shutil
import time
from pathlib import Path

from nagoya.utils.command import run
from nagoya.utils.lock import cache_folder
from tests.engines import USER

_PACKAGES = (
    "aardvark-dns", "ca-certificates", "crun", "docker.io", "iptables", "netavark", "nftables",
    "passt", "podman", "runc", "slirp4netns", "uidmap",
)  # fmt: skip
_AGE = 7 * 24 * 3600
"""The newest suite has another Docker every few weeks."""
# mmdebstrap reads none of this machine's settings of apt.
_SETTINGS = re.compile(r"^Acquire::(https?|ftp|retries|forceipv|check-).*", re.I | re.M)


def debian_root(suite: str) -> Path:
    """A minimal Debian with Docker, Podman and a user for rootless ones; at most a week ago they
    were the newest of the suite."""
    root = cache_folder() / "tests/engines" / suite
    if not root.is_dir() or time.time() - root.stat().st_mtime > _AGE:
        unfinished = root.with_name(f"{suite}.new")
        for folder in (unfinished, root):
            shutil.rmtree(folder, ignore_errors=True)
        root.parent.mkdir(parents=True, exist_ok=True)
        settings = _SETTINGS.finditer(run(["apt-config", "dump", "Acquire"]))
        run(
            [
                "mmdebstrap", "--quiet", "--variant=minbase", f"--include={','.join(_PACKAGES)}",
                f'--customize-hook=chroot "$1" useradd --uid {USER} --create-home koji',
                *(f"--aptopt={match[0]}" for match in settings), suite, unfinished,
            ]
        )  # fmt: skip
        unfinished.touch()
        unfinished.rename(root)
    return root


def version(root: Path, package: str) -> str:
    """The version of a package in a root folder, such as 28.5.2."""
    text = run(["dpkg-query", f"--root={root}", "--show", "--showformat=${Version}", package])
    return text.partition("+")[0]
