"""What tasks leave in a builder: buildroots, their configurations, and kojid's working files."""

import shutil
import subprocess
from pathlib import Path

from mock.mountinfo import beneath, mount_points

# kojid's and mock's folders, which themselves stay.
FOLDERS = ("etc/mock/koji", "var/cache/mock", "var/lib/mock", "var/tmp/koji")


def clear(root: Path) -> None:
    """Unmount everything beneath the folders, and empty them."""
    mounts = mount_points()
    for folder in (root / name for name in FOLDERS):
        for mount in reversed(beneath(str(folder), mounts)):
            subprocess.run(["umount", "--lazy", mount.path], check=True)
        for path in folder.iterdir() if folder.is_dir() else ():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
