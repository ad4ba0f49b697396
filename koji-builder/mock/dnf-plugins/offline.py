"""A plugin of dnf's: the scriptlets of packages have no network. dnf_files.py copies it.

dnf, the builder's or a bootstrap chroot's, downloads first. It has no SYS_ADMIN, so it cannot leave
the network; but it can give up sockets, for itself and for what it starts.
"""

import ctypes
import os
import sys
import traceback
from pathlib import Path

import dnf

# <linux/prctl.h>, <linux/seccomp.h>
PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 22, 2


class Program(ctypes.Structure):
    """struct sock_fprog of <linux/filter.h>; an instruction has eight bytes."""

    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


class Offline(dnf.Plugin):  # type: ignore[misc]
    """Loads the filter that dnf_files.py has written."""

    name = "offline"

    def __init__(self, base: object, cli: object) -> None:
        """Tell packages.py, by a file, that dnf has loaded this."""
        super().__init__(base, cli)
        self.filter = Path(__file__).parents[1].joinpath("offline.bpf").read_bytes()
        Path("/tmp/offline.loaded").touch()

    def pre_transaction(self) -> None:
        """After the downloads, before the first scriptlet. dnf would go on after an exception."""
        try:
            libc = ctypes.CDLL(None, use_errno=True)
            program = Program(len(self.filter) // 8, self.filter)
            if libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(program), 0, 0) != 0:
                raise OSError(ctypes.get_errno(), "the kernel refused a filter for scriptlets")
        except BaseException:
            traceback.print_exc()
            sys.stderr.flush()
            os._exit(1)
