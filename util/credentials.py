"""Where a system's credentials are, and the names that only the system itself may have."""

from pathlib import Path

from . import files
from .entry import Fatal

FOLDER = Path("etc/pki/koji")
# The volume that the database mounts at FOLDER, with what it needs of them.
DATABASE = Path("etc/pki/koji-database")

SERVERS = ("kojihub", "kojidatabase")
CLIENTS = ("kojiadmin", "kojira", "kojiweb")
# koji-credentials-volume issues these certificates.
PARTS = (*SERVERS, *CLIENTS)
# No builder and no other user can have these names; the last one is the authority's.
RESERVED = (*PARTS, "koji_ca_cert")


def require(root: Path, mode: str = "ro") -> Path:
    """The folder of the credentials. Raises Fatal if it is not complete; `mode` is for its hint."""
    folder = root / FOLDER
    if not (folder / files.MARKER).exists():
        raise Fatal(
            f"there are no credentials at {folder}",
            hint="run koji-credentials-volume first, and then this image with "
            f"`--volumes-from kojicreds:{mode}`",
        )
    return folder
