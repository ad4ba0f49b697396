"""Fits Debian's programs to what kojid expects of them, while the image is built."""

import os
import pwd
import sys
from pathlib import Path

from util import entry, files

MOCK_USER = "kojibuilder"
# What a site may mount folders over.
SITE_FOLDERS = ("etc/kojid/kojid.conf.d", "usr/local/lib/koji-builder-plugins")

# Debian's rpm keeps its database in the home of whoever calls it; kojid reads a buildroot's where
# all the others have it.
MACROS = "%_dbpath %{_var}/lib/rpm\n"


def make_folders(root: Path, gid: int) -> None:
    """Make the folders of the site, and those that kojid and mock share.

    kojid refuses to work where mock's folder is not there, and asks how much room it has.
    """
    for folder in SITE_FOLDERS:
        (root / folder).mkdir(parents=True, exist_ok=True)
    # /var/lib/mock is root's alone: who may write there could put a link in a buildroot's place.
    for folder in ("etc/mock/koji", "etc/rpm", "var/lib/mock"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    cache = root / "var/cache/mock"
    cache.mkdir(parents=True, exist_ok=True)
    os.chown(cache, 0, gid)
    # What is made in it belongs to the group too.
    cache.chmod(0o2775)


def main() -> int:
    """Do all of it."""
    root = Path("/")
    account = pwd.getpwnam(MOCK_USER)
    make_folders(root, account.pw_gid)
    files.write(root / "etc/rpm/macros.koji", MACROS)
    return 0


if __name__ == "__main__":
    sys.exit(entry.run("koji-builder", main))
