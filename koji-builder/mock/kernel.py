"""System calls that Python 3.11 lacks, and what is built from them: chroot, privileges, network."""

import ctypes
import errno
import fcntl
import os
import socket
import struct
from pathlib import Path
from typing import Any

from errors import MockError, Status

# <sched.h>
NEW_MOUNTS, NEW_IPC, NEW_USER, NEW_PIDS, NEW_NETWORK = (
    0x00020000, 0x08000000, 0x10000000, 0x20000000, 0x40000000,
)  # fmt: skip
# <sys/mount.h>
READ_ONLY, NO_SUID, NO_DEV, NO_EXEC, REMOUNT, NO_LINKS, BIND, MOVE, RECURSIVE, PRIVATE = (
    0x1, 0x2, 0x4, 0x8, 0x20, 0x100, 0x1000, 0x2000, 0x4000, 0x40000,
)  # fmt: skip
DETACH = 2
# <sys/prctl.h>, <sys/personality.h>
DIE_WITH_PARENT, DUMPABLE, NO_NEW_PRIVILEGES, PERSONALITY_32BIT = 1, 4, 38, 0x0008
SET_DELEGATION = 1040  # <linux/fcntl.h>: the same as a lease, of folders too, since Linux 6.19
# <linux/capability.h>: CHOWN DAC_OVERRIDE FOWNER FSETID KILL SETGID SETUID SYS_CHROOT MKNOD and
# SETFCAP: what installing packages takes, and so what root has in the chroot. No SYS_ADMIN.
CAPABILITIES = sum(1 << bit for bit in (0, 1, 3, 4, 5, 6, 7, 18, 27, 31))
SYS_RAWIO = 17  # which only a privileged container has
# The owner of the user namespace of a chroot's network, who has every capability in it. Nobody in a
# chroot can become this user: a filter refuses the calls, and no-new-privileges disables setuid
# programs. The number has more than the 16 bits that old calls have for a user, or, with 65,536
# users, it is the one that they cannot name.
_FAR_USER = 0x7FFF_FFF0


def choose_owner(uid_map: str) -> int:
    """That user; where the engine's user namespace has few users, as a rootless one's, its last."""
    ranges = [tuple(map(int, line.split())) for line in uid_map.splitlines()]
    if any(first <= _FAR_USER < first + count for first, _, count in ranges):
        return _FAR_USER
    return max(first + count for first, _, count in ranges) - 1


OWNER = choose_owner(Path("/proc/self/uid_map").read_text())
_CAPABILITY_HEADER = struct.pack("=Ii", 0x20080522, 0)  # <linux/capability.h>: version 3

_libc = ctypes.CDLL(None, use_errno=True)


class KernelError(OSError):
    """The kernel refused a namespace or a mount; `filename` names it."""

    def as_mock_error(self) -> MockError:
        """The same for the builder's operator, with the options that the container lacks."""
        return MockError(
            Status.NAMESPACE,
            f"the kernel refused what a buildroot needs ({self.filename}: {self.strerror})",
            "start the builder with --cap-add SYS_ADMIN, and where AppArmor confines containers,"
            " with --security-opt apparmor=unconfined too; --privileged is never needed",
        )


def _checked(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise KernelError(number, os.strerror(number), what)


def mount(source: str, target: str, fstype: str = "", flags: int = 0, data: str = "") -> None:
    """mount(2), which needs CAP_SYS_ADMIN."""
    source_path, target_path = os.fsencode(source), os.fsencode(target)
    result = _libc.mount(
        source_path, target_path, fstype.encode(), ctypes.c_ulong(flags), data.encode()
    )
    _checked(result, target)


def unmount(target: str) -> None:
    """umount2(2) of what is mounted on a path and below, though it is in use."""
    _checked(_libc.umount2(os.fsencode(target), DETACH), target)


def follows_links(directory: Path) -> bool:
    """Whether symbolic links are followed where a directory is mounted (statfs(2))."""
    return not os.statvfs(directory).f_flag & 0x2000


class OomScore:
    """How soon the kernel kills this process, and what it forks, where memory runs out.

    A process can lower its own again: this is for builds that mean no harm.
    """

    def __init__(self) -> None:
        self._file = os.open("/proc/self/oom_score_adj", os.O_RDWR)
        self._own = os.pread(self._file, 16, 0)

    def raise_to_first(self) -> None:
        """Before any process with another score."""
        os.pwrite(self._file, b"1000", 0)

    def reset(self) -> None:
        os.pwrite(self._file, self._own, 0)


def unshare(flags: int) -> None:
    """unshare(2)."""
    _checked(_libc.unshare(flags), "unshare")


def setns(descriptor: int, kind: int) -> None:
    """setns(2): join the namespace that an open descriptor refers to."""
    _checked(_libc.setns(descriptor, kind), "setns")


def prctl(option: int, value: int) -> None:
    """prctl(2), for options that take one value."""
    unsigned = ctypes.c_ulong
    _checked(_libc.prctl(option, unsigned(value), unsigned(0), unsigned(0), unsigned(0)), "prctl")


def set_32bit_personality() -> None:
    """Make uname(2) name the 32-bit machine, for this process and its children."""
    _libc.personality(ctypes.c_ulong(PERSONALITY_32BIT))


def change_root(directory: int) -> None:
    """Make an open directory, which has to be a mount point, the root for good.

    Moving it over "/" before chroot(2) keeps root in there from climbing out: there is nothing
    above it. pivot_root(2) would do the same, but Docker's seccomp profile refuses it even with
    SYS_ADMIN.
    """
    os.fchdir(directory)  # before unshare, which maps the working directory to the copied mounts
    unshare(NEW_MOUNTS)
    mount(".", "/", flags=MOVE)
    os.chroot(".")
    os.chdir("/")


def confine(system_calls: Any) -> None:
    """Stay root without power over the kernel, for this process and its descendants.

    Reducing the bounding set takes CAP_SETPCAP, which the container does not have. So this drops
    the capabilities, and no-new-privileges keeps an exec from restoring them. Until an exec nobody
    may trace the process, which has directories of the builder open. `system_calls` is a filter.
    """
    prctl(NO_NEW_PRIVILEGES, 1)
    prctl(DUMPABLE, 0)
    system_calls.load()
    data = struct.pack("=6I", CAPABILITIES & 0xFFFFFFFF, CAPABILITIES & 0xFFFFFFFF, 0, 0, 0, 0)
    _checked(_libc.capset(_CAPABILITY_HEADER, data), "capset")


def filter_system_calls() -> Any:
    """A filter for processes that make and join no namespaces, take no leases of files, and do not
    talk to the machine's hypervisor.

    A process has every capability in a user namespace that it makes, or that its user has made, as
    `leave_network` does. So it reaches code of the kernel that is meant for root. Docker's seccomp
    profile allows that to a container with SYS_ADMIN. A lease of a file, which takes no more than
    to read it, delays every other process that opens it: with leases a scriptlet could stop all
    programs of the builder. No network namespace limits AF_VSOCK, which io_uring opens too; nor can
    a filter see what 32-bit x86's socketcall asks for, which old C libraries need.
    """
    import seccomp  # noqa: PLC0415 - Debian's, which only the image has

    system_calls = _allow_all()
    flag = seccomp.Arg(0, seccomp.MASKED_EQ, NEW_USER, NEW_USER)
    for name in ("clone", "unshare"):
        system_calls.add_rule(seccomp.ERRNO(errno.EPERM), name, flag)
    # Its flags are in memory, where a filter cannot see them. C libraries then use clone.
    system_calls.add_rule(seccomp.ERRNO(errno.ENOSYS), "clone3")
    system_calls.add_rule(seccomp.ERRNO(errno.EPERM), "setns")
    # The kernel reads 32 bits of it.
    for command in (fcntl.F_SETLEASE, SET_DELEGATION):
        lease = seccomp.Arg(1, seccomp.MASKED_EQ, 0xFFFFFFFF, command)
        for name in ("fcntl", "fcntl64"):
            system_calls.add_rule(seccomp.ERRNO(errno.EPERM), name, lease)
    hypervisor = seccomp.Arg(0, seccomp.MASKED_EQ, 0xFFFFFFFF, socket.AF_VSOCK)
    system_calls.add_rule(seccomp.ERRNO(errno.EAFNOSUPPORT), "socket", hypervisor)
    system_calls.add_rule(seccomp.ERRNO(errno.ENOSYS), "io_uring_setup")
    for name, users in (("setuid", 1), ("setreuid", 2), ("setresuid", 3)):
        for number in range(users):
            owner = seccomp.Arg(number, seccomp.MASKED_EQ, 0xFFFFFFFF, OWNER)
            for call in (name, f"{name}32"):
                system_calls.add_rule(seccomp.ERRNO(errno.EPERM), call, owner)
    return system_calls


def forbid_network(program: Path) -> None:
    """Write a filter of system calls, in the kernel's format, for a process without a network.

    Of sockets it leaves those of Unix. io_uring makes sockets too, as does 32-bit x86's socketcall,
    which has its arguments in memory, where a filter cannot see them.
    """
    import seccomp  # noqa: PLC0415 - Debian's, which only the image has

    system_calls = _allow_all()
    other = seccomp.Arg(0, seccomp.NE, socket.AF_UNIX)
    system_calls.add_rule(seccomp.ERRNO(errno.EAFNOSUPPORT), "socket", other)
    system_calls.add_rule(seccomp.ERRNO(errno.EAFNOSUPPORT), "socketcall")
    system_calls.add_rule(seccomp.ERRNO(errno.ENOSYS), "io_uring_setup")
    with program.open("wb") as file:
        system_calls.export_bpf(file)


def _allow_all() -> Any:
    """A filter of system calls, without a rule, for every ABI of this machine."""
    import seccomp  # noqa: PLC0415

    system_calls = seccomp.SyscallFilter(seccomp.ALLOW)
    if system_calls.exist_arch(seccomp.Arch.X86_64):
        for architecture in (seccomp.Arch.X86, seccomp.Arch.X32):
            system_calls.add_arch(architecture)
    return system_calls


def drop_privileges(uid: int, gid: int) -> None:
    """Become a user with one group, for good."""
    os.setgroups([gid])
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)
    prctl(NO_NEW_PRIVILEGES, 1)


def _become_owner() -> None:
    """Change the effective user to OWNER, and keep the capabilities."""
    data = ctypes.create_string_buffer(24)
    _checked(_libc.capget(_CAPABILITY_HEADER, data), "capget")
    os.seteuid(OWNER)
    _checked(_libc.capset(_CAPABILITY_HEADER, data), "capset")


def leave_network() -> bool:
    """Move this process into a new network namespace; return whether its loopback is up.

    Bringing up an interface takes CAP_NET_ADMIN, which the container does not have, but which the
    creator of a user namespace has inside it. So a helper creates both namespaces, brings up the
    loopback, and passes back the network namespace; joining that takes SYS_ADMIN only. The helper
    is OWNER then: root in the chroot would have every capability in what root has created.
    """
    receiver, sender = socket.socketpair()
    helper = os.fork()
    if helper == 0:
        try:
            _become_owner()
            unshare(NEW_USER | NEW_NETWORK)
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
                up = struct.pack("16sH14x", b"lo", 0x1 | 0x40)  # IFF_UP, IFF_RUNNING
                fcntl.ioctl(control, 0x8914, up)  # SIOCSIFFLAGS
            namespace = os.open("/proc/self/ns/net", os.O_RDONLY)
            socket.send_fds(sender, [b"."], [namespace])
        finally:
            os._exit(0)
    sender.close()
    _, descriptors, _, _ = socket.recv_fds(receiver, 1, 1)
    os.waitpid(helper, 0)
    receiver.close()
    if not descriptors:
        unshare(NEW_NETWORK)
        return False
    setns(descriptors[0], NEW_NETWORK)
    os.close(descriptors[0])
    return True
