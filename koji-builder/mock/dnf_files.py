"""What dnf and rpm read of the driver's, in a folder that nothing can change while they run.

They open files of the chroot from outside of it, where a link leads to another place: dnf its log,
for example, before it loads plugins. What such a link leads to must not be what dnf believes.
"""

import os
import shutil
from pathlib import Path

import chroot_files
import kernel
from settings import Settings

# rpm's macros for everything that is installed. Debian's rpm keeps its database in the user's home,
# and from 4.20 on runs scriptlets without a network, which fails in this container. Nothing is
# installed into the file systems that are mounted in a chroot, since rpm could not change the owner
# and the mode of /sys, which a distribution's package `filesystem` has. For the accounts that
# packages declare, rpm writes a script here, and not in the chroot; only /tmp is writable.
MACROS = f"""\
%_dbpath {chroot_files.DATABASE}
%__transaction_unshare %{{nil}}
%_netsharedpath /dev:/proc:/sys
%_tmppath /tmp
"""
NAME = ".dnf"
"""Of the folder, in mock's basedir, which is the worker's own and read-only (see mounts.py)."""
CONFIGURATION, VARIABLES, AUTHORITIES = "dnf.conf", "vars", "ca.crt"
PLUGINS, FILTER = "plugins", "offline.bpf"


def folder(settings: Settings) -> Path:
    """Where the files are, in the builder and in a bootstrap chroot."""
    return settings.basedir / NAME


def write(settings: Settings) -> None:
    """Write all that dnf may need. It is the home folder too, where rpm looks for macros."""
    here = folder(settings)
    (here / PLUGINS).mkdir(parents=True)
    (here / ".rpmmacros").write_text(MACROS)
    (here / CONFIGURATION).write_text(settings.dnf_conf)
    shutil.copy(Path(__file__).with_name("dnf-plugins") / "offline.py", here / PLUGINS)
    kernel.forbid_network(here / FILTER)
    if settings.bootstrap:
        shutil.copy("/etc/ssl/certs/ca-certificates.crt", here / AUTHORITIES)
    if settings.architecture.startswith(f"{os.uname().machine}_v"):
        # dnf knows x86_64_v2 and higher by this variable alone.
        (here / VARIABLES).mkdir()
        (here / VARIABLES / "arch").write_text(settings.architecture)
