"""Adapts this image to the Koji that it holds, while the image is built."""

import inspect
import re
import sys
from pathlib import Path

import site_files

from util import entry, files

UPSTREAM = Path("usr/lib/nagoya/upstream/conf.d")
LAYOUT = Path("etc/apache2/koji-layout.conf")
# The functions that compat.py puts back.
REMOVED = ("getargspec", "formatargspec")


def entry_point(root: Path, snippet: str, alias: str) -> Path:
    """The WSGI script that Koji's own configuration `snippet` serves at `alias`.

    Its name differs from version to version (kojixmlrpc.py, kojiapp.py).
    """
    text = (root / UPSTREAM / snippet).read_text()
    found = re.search(rf'^\s*(?:WSGIScript)?Alias\s+{alias}\s+"?(/[^"\s]+)', text, re.MULTILINE)
    if not found:
        raise entry.Fatal(f"Koji's {snippet} names no script for {alias}")
    return Path(found[1])


def needs_compat(root: Path, scripts: list[Path]) -> bool:
    """Whether Koji calls what this Python lacks, lacks what newer clients call, or has open pages.

    The sources are asked, since Koji's developers bring trees whose version says little.
    """
    missing = [name for name in REMOVED if not hasattr(inspect, name)]
    packages = root / "usr/lib/python3/dist-packages"
    folders = {(root / script.relative_to("/")).parent for script in scripts}
    folders |= set(packages.glob("kojihub"))
    sources = [path.read_text() for folder in folders for path in folder.rglob("*.py")]
    old_logout = any("def logout():" in path.read_text() for path in packages.glob("koji*/auth.py"))
    web = root / "usr/share/koji-web/lib/kojiweb/util.py"
    open_pages = web.exists() and "class XHTMLFilter" in web.read_text()
    return (
        old_logout
        or open_pages
        or any(f"inspect.{name}(" in source for source in sources for name in missing)
    )


def write_layout(root: Path) -> None:
    """Write for Apache where Koji's WSGI scripts are, and whether they need compat.py."""
    hub = entry_point(root, "kojihub.conf", "/kojihub")
    web = entry_point(root, "kojiweb.conf", "/koji")
    lines = [f"Define KOJIHUB_ENTRY {hub}", f"Define KOJIWEB_ENTRY {web}"]
    if needs_compat(root, [hub, web]):
        lines.append("Define KOJI_NEEDS_COMPAT")
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
