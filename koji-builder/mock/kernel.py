"""The few calls of Linux that Python 3.11 lacks, and the order in which privileges are dropped."""

import ctypes
import fcntl
import os
import socket
import struct

from ending import Failed, Status

# <sched.h>
NEW_MOUNTS, NEW_IPC, NEW_USER, NEW_PIDS, NEW_NETWORK = (
    0x00020000, 0x08000000, 0x10000000, 0x20000000, 0x40000000,
)  # fmt: skip
# <sys/mount.h>
READ_ONLY, NO_SUID, NO_DEV, NO_EXEC, REMOUNT, BIND, MOVE, RECURSIVE, PRIVATE = (
    0x1, 0x2, 0x4, 0x8, 0x20, 0x1000, 0x2000, 0x4000, 0x40000,
)  # fmt: skip
# <sys/prctl.h>, <sys/personality.h>
DIE_WITH_PARENT, NO_NEW_PRIVILEGES, NARROW_PERSONALITY = 1, 38, 0x0008
# <linux/capability.h>: CHOWN DAC_OVERRIDE FOWNER FSETID KILL SETGID SETUID SYS_CHROOT MKNOD and
# SETFCAP, which installing packages needs, and which root in the chroot gets. No SYS_ADMIN.
KEPT = sum(1 << bit for bit in (0, 1, 3, 4, 5, 6, 7, 18, 27, 31))

_libc = ctypes.CDLL(None, use_errno=True)


class Refused(OSError):
    """The kernel refuses a namespace or a mount; `filename` is which."""

    def explained(self) -> Failed:
        """What to say about it to whoever runs the builder."""
        return Failed(
            Status.NAMESPACE,
            f"the kernel refuses what a buildroot needs ({self.filename}: {self.strerror})",
            "start the builder with --cap-add SYS_ADMIN, and where AppArmor confines containers,"
            " with --security-opt apparmor=unconfined too; --privileged is never needed",
        )


def _checked(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise Refused(number, os.strerror(number), what)


def mount(source: str, target: str, kind: str = "", flags: int = 0, data: str = "") -> None:
    """mount(2), which needs CAP_SYS_ADMIN."""
    result = _libc.mount(
        source.encode(), target.encode(), kind.encode(), ctypes.c_ulong(flags), data.encode()
    )
    _checked(result, target)


def unshare(flags: int) -> None:
    """unshare(2)."""
    _checked(_libc.unshare(flags), "unshare")


def setns(descriptor: int, kind: int) -> None:
    """setns(2): join the namespace that a descriptor stands for."""
    _checked(_libc.setns(descriptor, kind), "setns")


def prctl(option: int, value: int) -> None:
    """prctl(2), for its options of one value."""
    unsigned = ctypes.c_ulong
    _checked(_libc.prctl(option, unsigned(value), unsigned(0), unsigned(0), unsigned(0)), "prctl")


def narrow_personality() -> None:
    """Make uname(2) name the 32-bit machine, for this process and its children."""
    _libc.personality(ctypes.c_ulong(NARROW_PERSONALITY))


def change_root(directory: int) -> None:
    """Make an open directory, which has to be a mount point, the root, for good.

    Moving it over "/" before chroot(2) is what keeps root in there from climbing out: above it,
    there is nothing. pivot_root(2) would do that too, but Docker's seccomp profile refuses it, with
    SYS_ADMIN even.
    """
    os.fchdir(directory)  # first: a new namespace copies mounts, and takes our place along
    unshare(NEW_MOUNTS)
    mount(".", "/", flags=MOVE)
    os.chroot(".")
    os.chdir("/")


def confine() -> None:
    """Keep root, but none of its powers over the kernel, for this process and all it starts.

    The bounding set cannot be cut without CAP_SETPCAP, which the container does not have. So the
    capabilities are given up, and no-new-privileges keeps an exec from giving them back.
    """
    prctl(NO_NEW_PRIVILEGES, 1)
    header = struct.pack("=Ii", 0x20080522, 0)
    data = struct.pack("=6I", KEPT & 0xFFFFFFFF, KEPT & 0xFFFFFFFF, 0, 0, 0, 0)
    _checked(_libc.capset(header, data), "capset")


def become(uid: int, gid: int) -> None:
    """Become a user with one group, and keep no way back."""
    os.setgroups([gid])
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)
    prctl(NO_NEW_PRIVILEGES, 1)


def leave_network() -> bool:
    """Move this process into a network of its own; say whether that has a loopback that is up.

    Raising an interface takes CAP_NET_ADMIN, which the container does not have. But whoever makes
    a user namespace has it in there: so a helper makes both, raises the loopback and hands over the
    network namespace, which SYS_ADMIN suffices to join.
    """
    ours, theirs = socket.socketpair()
    helper = os.fork()
    if helper == 0:
        try:
            unshare(NEW_USER | NEW_NETWORK)
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
                up = struct.pack("16sH14x", b"lo", 0x1 | 0x40)  # IFF_UP, IFF_RUNNING
                fcntl.ioctl(any_socket, 0x8914, up)  # SIOCSIFFLAGS
            namespace = os.open("/proc/self/ns/net", os.O_RDONLY)
            socket.send_fds(theirs, [b"."], [namespace])
        finally:
            os._exit(0)
    theirs.close()
    _, descriptors, _, _ = socket.recv_fds(ours, 1, 1)
    os.waitpid(helper, 0)
    ours.close()
    if not descriptors:
        unshare(NEW_NETWORK)
        return False
    setns(descriptors[0], NEW_NETWORK)
    os.close(descriptors[0])
    return True
