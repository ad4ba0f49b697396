"""Remove trees, however deep. Imports nothing of mock, since koji-builder/work.py uses it too."""

import subprocess
from pathlib import Path

LONGEST = 200  # characters of rm's message; a path in a deep tree has many kB


def remove(path: Path) -> None:
    """Remove a tree, a file or a link. Raises OSError.

    shutil.rmtree has a file open for each folder that it is in, so a deep tree stays.
    """
    removed = subprocess.run(
        ["rm", "-rf", "--", str(path)], check=False, stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, errors="replace",
    )  # fmt: skip
    if removed.returncode:
        reason = (removed.stderr.splitlines() or ["?"])[0]
        if len(reason) > LONGEST:
            reason = f"{reason[: LONGEST // 2]}…{reason[-LONGEST // 2 :]}"
        raise OSError(f"cannot remove {path}: {reason}")
