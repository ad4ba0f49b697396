"""What a site adds to the hub's configuration, and whether the hub was started with it."""

import hashlib
from pathlib import Path

FOLDERS = (
    "etc/apache2/conf.d",
    "etc/koji-gc/koji-gc.conf.d",
    "etc/koji-hub/hub.conf.d",
    "etc/koji-sweep-db/koji-sweep-db.conf.d",
    "etc/kojira/kojira.conf.d",
    "etc/kojiweb/web.conf.d",
    "usr/local/lib/koji-hub-plugins",
)
# What entrypoint.py writes from these, in case it is changed by hand.
WRITTEN = ("etc/koji-hub/hub.conf", "etc/kojira/kojira.conf")
STARTED_WITH = "run/koji-hub/started-with"


def record(root: Path) -> None:
    """Note what the hub is started with."""
    (root / STARTED_WITH).write_text(_digest(root))


def changed(root: Path) -> bool:
    """Whether the hub was started with other files than there are now."""
    try:
        return (root / STARTED_WITH).read_text() != _digest(root)
    except FileNotFoundError:
        return True


def content(folder: Path) -> dict[str, bytes]:
    """The files in a folder, by their paths in it."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    }


def _digest(root: Path) -> str:
    site = [content(root / folder) for folder in FOLDERS]
    written = [(root / name).read_bytes() for name in WRITTEN if (root / name).exists()]
    return hashlib.sha256(repr((site, written)).encode()).hexdigest()
