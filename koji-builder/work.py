"""What tasks leave in a builder: buildroots, their configuration, and files of their own."""

import shutil
import subprocess
from pathlib import Path

# Folders of kojid's and mock's, which themselves stay.
FOLDERS = ("etc/mock/koji", "var/cache/mock", "var/lib/mock", "var/tmp/koji")


def clear(root: Path) -> None:
    """Empty the folders; what a task has mounted there is taken off first."""
    mounts = [line.split(" ")[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    for folder in (root / name for name in FOLDERS):
        for mount in reversed([one for one in mounts if one.startswith(f"{folder}/")]):
            subprocess.run(["umount", "--lazy", mount], check=True)
        for path in folder.iterdir() if folder.is_dir() else ():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
