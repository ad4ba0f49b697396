"""Adapts this image to the Koji that it holds, while the image is built."""

import re
import sys
from pathlib import Path

import site_files

from util import entry, files

UPSTREAM = Path("usr/lib/nagoya/upstream/conf.d")
LAYOUT = Path("etc/apache2/koji-layout.conf")
SIDETAG_CONF = Path("etc/koji-hub/plugins/sidetag.conf")
SIDETAG_PLUGIN = Path("usr/lib/koji-hub-plugins/sidetag_hub.py")


def entry_point(root: Path, snippet: str, alias: str) -> Path:
    """The WSGI script that Koji's own configuration `snippet` serves at `alias`.

    Its name differs from version to version (kojixmlrpc.py, kojiapp.py).
    """
    text = (root / UPSTREAM / snippet).read_text()
    match = re.search(rf'^\s*(?:WSGIScript)?Alias\s+{alias}\s+"?(/[^"\s]+)', text, re.MULTILINE)
    if not match:
        raise entry.Fatal(f"Koji's {snippet} names no script for {alias}")
    return Path(match[1])


def write_layout(root: Path) -> None:
    """Write for Apache where Koji's WSGI scripts are."""
    hub = entry_point(root, "kojihub.conf", "/kojihub")
    web = entry_point(root, "kojiweb.conf", "/koji")
    lines = [f"Define KOJIHUB_ENTRY {hub}", f"Define KOJIWEB_ENTRY {web}"]
    files.write(root / LAYOUT, "# Written by setup.py of koji-hub.\n" + "\n".join(lines) + "\n")


def request_sidetag_repositories(root: Path) -> None:
    """Have the plugin sidetag_hub request the repository of each new sidetag, if it can.

    Where repositories are made on request, nothing else does, and `koji add-sidetag --wait` would
    wait in vain. In older versions kojira makes them.
    """
    plugin = root / SIDETAG_PLUGIN
    if not plugin.exists() or "request_repo(" not in plugin.read_text():
        return
    text, count = re.subn(
        r"^#?\s*trigger_new_repo\s*=.*$",
        "trigger_new_repo = True",
        (root / SIDETAG_CONF).read_text(),
        flags=re.MULTILINE,
    )
    if not count:
        raise entry.Fatal("Koji's sidetag.conf has no option trigger_new_repo")
    files.write(root / SIDETAG_CONF, text)


def main() -> int:
    """Make the folders, and write what depends on the version of Koji."""
    root = Path("/")
    # Apache's root, which stays empty; what a site may mount folders over; and where `toji up` puts
    # the registrar's records before the first start.
    for folder in ("var/www", *site_files.FOLDERS, "run/koji-hub"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    write_layout(root)
    request_sidetag_repositories(root)
    return 0


if __name__ == "__main__":
    sys.exit(entry.run("koji-hub", main))
