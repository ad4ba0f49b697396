"""The credentials of a system's admin on the host: copied out of the credentials volume."""

import shutil

from nagoya.koji.profile import ADMIN, CA, Profile
from nagoya.system.container import SystemContainer
from nagoya.utils import files

PKI = "/etc/pki/koji"
CREDENTIALS = (CA, f"{ADMIN}.pem", f"{ADMIN}_browser_cert.p12")


def extract_credentials(container: SystemContainer) -> None:
    """Copy what a client needs out of the credentials volume, readable by its owner only."""
    folder = Profile(container.system, container.home).folder
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name in CREDENTIALS:
        files.write(folder / name, container.read_file(f"{PKI}/{name}"))


def cleanup_credentials(container: SystemContainer) -> None:
    """Delete the system's folder of credentials, those of `toji user` included."""
    shutil.rmtree(Profile(container.system, container.home).folder, ignore_errors=True)
