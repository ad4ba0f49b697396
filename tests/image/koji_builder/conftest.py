"""Fixtures for mock: a builder with packages to install, and a factory of buildroots."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from docker.models.containers import Container

from tests.image.koji_builder.buildroots import (
    CAPABILITIES,
    DEMO,
    IMAGE,
    UPSTREAM,
    Maker,
    pack_dnf,
    processes,
    put,
    spec,
)
from tests.image.tracked import Containers, execute

HOST = ("sleep", "infinity")

COMPS = """<?xml version="1.0"?><comps>{groups}</comps>"""
GROUP = """<group><id>{name}</id><name>{name}</name><uservisible>true</uservisible><packagelist>
<packagereq type="mandatory">{package}</packagereq></packagelist></group>"""

# A program in which root tries to leave a chroot, and a package whose scriptlet runs it.
CLIMBER = """
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/nsfs.h>
#include <sched.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
int main(void)
{
    mkdir("/inner", 0755);
    printf("chroot: %d\\n", chroot("/inner"));
    for (int i = 0; i < 20; i++) chdir("..");
    chroot(".");
    printf("outside: %d\\n", access("/usr/lib/nagoya/mock", F_OK) == 0);
    printf("key: %d\\n", access("/etc/pki/koji/key", F_OK) == 0);
    printf("written: %d\\n", open("/var/lib/mock/escaped", O_CREAT | O_WRONLY, 0644) >= 0);
    printf("neighbour: %d\\n", access("/var/lib/mock/neighbour", F_OK) == 0);
    printf("task: %d\\n", access("/var/tmp/koji/task", F_OK) == 0);
    printf("kojid: %d\\n", access("/etc/kojid/kojid.conf", F_OK) == 0);
    printf("upload: %d\\n", access("/mnt/koji/work/upload", F_OK) == 0);
    printf("snapshot: %d\\n", access("/mnt/koji/.snapshots/one", F_OK) == 0);
    printf("terminals: %d\\n", access("/dev/pts/ptmx", F_OK) == 0);
    printf("leased: %d\\n", fcntl(open("/etc/passwd", O_RDONLY), F_SETLEASE, F_WRLCK) == 0);
    long lease = 1L << 32 | F_SETLEASE; /* the kernel reads the lower half */
    int file = open("/etc/passwd", O_RDONLY);
    printf("leased by force: %d\\n", syscall(SYS_fcntl, file, lease, F_WRLCK) == 0);
    int owner = ioctl(open("/proc/self/ns/net", O_RDONLY), NS_GET_USERNS);
    printf("joined: %d\\n", setns(owner, CLONE_NEWUSER) == 0);
    FILE *macros = fopen("/tmp/.rpmmacros", "w");
    if (macros) fputs("%_query_all_fmt planted\\n", macros), fclose(macros);
    printf("mounted: %d\\n", mount("none", "/mnt", "tmpfs", 0, "") == 0);
    printf("remounted: %d\\n", mount("none", "/", "", MS_REMOUNT | MS_BIND, "") == 0);
    return 0;
}
"""
ESCAPE = f"""Name: escape
Version: 1
Release: 1
Summary: x
License: MIT
BuildArch: noarch
Requires(post): gcc
%description
x
%post
cat > /climber.c << 'END'
{CLIMBER}
END
gcc -w -o /climber /climber.c
/climber > /climbed
%files
"""

# A package whose scriptlet puts links to the builder's own files where kojid reads and writes; its
# `uname`, which kojid calls once the buildroot is there, puts one of them back.
PLANTER = spec(
    "planter",
    """%post
set -e
ln -s /srv/outside /chroot_tmpdir
mkdir -p /builddir /tmp /var/log /usr/lib/sysimage
ln -s /srv/outside/secret /var/log/dnf.planted.log
ln -s /srv/outside/secret /builddir/runroot.log
ln -s /srv/outside/mounts /tmp/runroot_mounts
ln -s /srv/outside /maven
ln -sf /srv/outside/lock /var/lib/rpm/.rpm.lock
ln -s /srv/outside/rpmdb /usr/lib/sysimage/rpm
rm -f /usr/bin/uname
printf '#!/bin/sh\\nrm -rf /chroot_tmpdir; ln -s /srv/outside /chroot_tmpdir\\n' > /usr/bin/uname
chmod 755 /usr/bin/uname""",
    **{"Requires(post)": "demo-buildroot"},
)

# A package whose scriptlet calls the repository's server, and leaves a process behind.
CALLER = spec(
    "caller",
    """%post
(echo > /dev/tcp/127.0.0.1/8123) 2> /answer && echo connected >> /answer
sleep 98765 > /dev/null 2>&1 &
exit 0""",
    **{"Requires(post)": "demo-buildroot"},
)


# A package whose scriptlet fails as if the server were away, and leaves a process to the next dnf.
RETRIED = spec(
    "retried",
    """%pre
if [ ! -e /tried ]; then
    touch /tried
    (sleep 1; touch /late; sleep 98764) > /dev/null 2>&1 &
    echo "Curl error (7)"
    exit 1
fi
grep -l 9876[4] /proc/[0-9]*/cmdline > /running
exit 0""",
    **{"Requires(pre)": "demo-buildroot"},
)


@pytest.fixture(scope="session")
def host(session_containers: Containers) -> Container:
    """A builder without kojid, with a repository of the demo's packages for the tag `t`."""
    # The engine's health check would be one process more than the tests expect.
    disabled = {"test": ["NONE"]}
    # mock remounts every mount point, whatever its name.
    tmpfs = {"/mnt/Übung mit Leerzeichen": "size=1m"}
    container = session_containers.start(
        IMAGE, *HOST, healthcheck=disabled, tmpfs=tmpfs, **CAPABILITIES
    )
    put(container, "/tmp/escape.spec", ESCAPE)
    put(container, "/tmp/planter.spec", PLANTER)
    put(container, "/tmp/caller.spec", CALLER)
    put(container, "/tmp/retried.spec", RETRIED)
    supply(container)
    return container


def supply(container: Container) -> None:
    """Make the repository, of the demo's packages and of the specs in /tmp."""
    groups = [
        ("build", "demo-buildroot"),
        ("srpm-build", "demo-buildroot"),
        ("virtual", "rpm-build"),  # demo-buildroot only provides it
        ("escape", "escape"),
        ("planter", "planter"),
        ("caller", "caller"),
        ("retried", "retried"),
    ]
    text = COMPS.format(groups="".join(GROUP.format(name=n, package=p) for n, p in groups))
    put(container, "/tmp/comps.xml", text)
    status, output = execute(
        container, "bash", "-ec",
        f"""repo=/mnt/koji/repos/t/1/x86_64; mkdir -p $repo; cp {DEMO}/rpms/*.rpm $repo
        for spec in $(find /tmp -name "*.spec"); do
            rpmbuild -bb --quiet --define "_rpmdir $repo" --define "_topdir /tmp/top" $spec
        done
        createrepo_c --quiet --groupfile /tmp/comps.xml $repo
        mkdir -p /etc/pki/koji && echo secret > /etc/pki/koji/key""",
    )  # fmt: skip
    assert status == 0, output


@pytest.fixture
def make(host: Container) -> Iterator[Maker]:
    maker = Maker(host)
    yield maker
    assert [words.strip() for words in processes(host).values()] == [" ".join(HOST)]
    assert "/var/lib/mock/" not in execute(host, "cat", "/proc/mounts")[1]


@pytest.fixture
def ours_alone(host: Container) -> Iterator[None]:
    """Without upstream's mock, where the image under test has it."""
    execute(host, "bash", "-c", f"mkdir -p {Path(UPSTREAM).parent}; mv {UPSTREAM} /opt")
    yield
    execute(host, "mv", "/opt/mock", UPSTREAM)


@pytest.fixture(scope="session")
def dnf_package(host: Container) -> str:
    """The builder's own dnf as an RPM, there."""
    return pack_dnf(host)


@pytest.fixture
def with_dnf(host: Container, dnf_package: str) -> Iterator[None]:
    """The repository has that dnf."""
    repository = "/mnt/koji/repos/t/1/x86_64"
    update = f"createrepo_c --quiet --groupfile /tmp/comps.xml {repository}"
    assert execute(host, "bash", "-ec", f"cp {dnf_package} {repository}; {update}")[0] == 0
    yield
    assert execute(host, "bash", "-ec", f"rm {repository}/demo-dnf-*; {update}")[0] == 0
