"""Adapts this image to the Koji that it holds, while the image is built."""

import re
import sys
from pathlib import Path

import site_files

from util import entry, files

UPSTREAM = Path("usr/lib/nagoya/upstream/conf.d")
LAYOUT = Path("etc/apache2/koji-layout.conf")


def entry_point(root: Path, snippet: str, alias: str) -> Path:
    """The WSGI script that Koji's own configuration `snippet` serves at `alias`.

    Its name differs from version to version (kojixmlrpc.py, kojiapp.py).
    """
    text = (root / UPSTREAM / snippet).read_text()
    found = re.search(rf'^\s*(?:WSGIScript)?Alias\s+{alias}\s+"?(/[^"\s]+)', text, re.MULTILINE)
    if not found:
        raise entry.Fatal(f"Koji's {snippet} names no script for {alias}")
    return Path(found[1])


def write_layout(root: Path) -> None:
    """Write for Apache where Koji's WSGI scripts are."""
    hub = entry_point(root, "kojihub.conf", "/kojihub")
    web = entry_point(root, "kojiweb.conf", "/koji")
    lines = [f"Define KOJIHUB_ENTRY {hub}", f"Define KOJIWEB_ENTRY {web}"]
    files.write(root / LAYOUT, "# Written by setup.py of koji-hub.\n" + "\n".join(lines) + "\n")


def main() -> int:
    """Make the folders, and write Apache's part that depends on the version of Koji."""
    root = Path("/")
    # Apache's root, which stays empty, and what a site may mount folders over.
    for folder in ("var/www", *site_files.FOLDERS):
        (root / folder).mkdir(parents=True, exist_ok=True)
    write_layout(root)
    return 0


if __name__ == "__main__":
    sys.exit(entry.run("koji-hub", main))
