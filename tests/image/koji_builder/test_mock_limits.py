"""What one build can take: the builder and other builds survive a build that takes too much."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from docker.types import DriverConfig, Mount

from tests.image.koji_builder.buildroots import CAPABILITIES, IMAGE, Buildroot, Maker, spec
from tests.image.koji_builder.conftest import supply
from tests.image.tracked import Containers, wait_until

# As large as kojid and more: the kernel's first choice without our advice.
BYSTANDER = (
    "import time; held = bytearray(200_000_000); print('ready', flush=True); time.sleep(600)"
)
# Many processes, each smaller than the bystander, and larger than a mock.
HOGS = "for n in $(seq 15); do (head -c 60M /dev/zero | tail -c 60M | sleep 20) & done; wait"


@pytest.fixture
def builder(containers: Containers) -> Callable[..., Maker]:
    """Makes a builder without kojid, with options of the engine's."""

    def make(**options: Any) -> Maker:
        command = ("python3", "-c", BYSTANDER)
        container = containers.start(
            IMAGE, *command, healthcheck={"test": ["NONE"]}, **options, **CAPABILITIES
        )
        supply(container)
        wait_until(lambda: container.logs() == b"ready\n", 30)
        return Maker(container)

    return make


def is_alive(buildroot: Buildroot) -> bool:
    buildroot.container.reload()
    return bool(buildroot.container.status == "running" and buildroot.processes())


def test_a_build_that_takes_all_memory_is_killed_alone(builder: Callable[..., Maker]) -> None:
    """Before the builder's own processes, which have more memory than each of the build's."""
    make = builder(mem_limit="700m", memswap_limit="700m")
    hog, other = make().initialise(), make().initialise()
    other.mock_in_background("--chroot", "--", "sleep", "600")
    hog.mock("--chroot", HOGS)
    assert is_alive(other), other.log("root")[-500:]


# A build's processes or threads, as many as the engine lets it have, or 1,500 that do not end.
FORKS = "bomb() { bomb | bomb & }; bomb; sleep 600"
THREADS = r"""
cat > /tmp/threads.c << 'END'
#include <pthread.h>
#include <unistd.h>
void *wait_long(void *nothing) { sleep(600); return nothing; }
int main(void)
{
    pthread_t thread;
    for (int number = 0; number < 1500; number++) pthread_create(&thread, 0, wait_long, 0);
    return sleep(600);
}
END
gcc -w -pthread -o /tmp/threads /tmp/threads.c && /tmp/threads
"""


# Programs whose children are the first process's, and end at once, without end.
ORPHANS = r"""
cat > /tmp/orphans.c << 'END'
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>
int main(void)
{
    for (int number = 0; number < 40; number++)
        if (fork() == 0) {
            if (fork() != 0) _exit(0);
            setsid();
            while (getppid() != 1) usleep(1000);
            while (syscall(SYS_clone, CLONE_PARENT | SIGCHLD, 0, 0, 0, 0) != 0);
            _exit(0);
        }
    return sleep(600);
}
END
gcc -w -D_GNU_SOURCE -o /tmp/orphans /tmp/orphans.c && /tmp/orphans
"""


@pytest.mark.parametrize("bomb", [FORKS, THREADS, ORPHANS], ids=["processes", "threads", "orphans"])
def test_a_build_with_too_many_processes_is_ended(builder: Callable[..., Maker], bomb: str) -> None:
    make = builder(pids_limit=2000)
    hog, other = make().initialise(), make().initialise()
    assert hog.mock("--install", "gcc")[0] == 0
    other.mock_in_background("--chroot", "--", "sleep", "600")
    status, output = hog.mock("--chroot", bomb)
    assert status == 10, output
    assert "one build may have 1000\n  hint: " in hog.log("root")
    assert not hog.processes()
    assert is_alive(other), other.log("root")[-500:]


def test_builds_together_leave_processes_to_the_builder(builder: Callable[..., Maker]) -> None:
    """Of two builds with nearly half of them each, the larger is ended."""
    make = builder(pids_limit=2000)
    smaller, larger = make().initialise(), make().initialise()
    for hog in (smaller, larger):
        assert hog.mock("--install", "gcc")[0] == 0
    smaller.mock_in_background("--chroot", THREADS.replace("1500", "800"))
    status, output = larger.mock("--chroot", THREADS.replace("1500", "980"))
    assert status == 10, output
    assert "all builds together had most of 2000" in larger.log("root")
    assert is_alive(smaller), smaller.log("root")[-500:]


def test_little_memory_is_for_fewer_processes(builder: Callable[..., Maker]) -> None:
    """What the kernel keeps of a process is memory, too: here, for 1,400."""
    hog = builder(mem_limit="700m", memswap_limit="700m")().initialise()
    assert hog.mock("--install", "gcc")[0] == 0
    status, output = hog.mock("--chroot", THREADS)
    assert status == 10, output
    assert "one build may have 1400\n  hint: " in hog.log("root")
    assert not hog.processes()


SPIN = "for n in 1 2; do timeout 4 sh -c 'while :; do :; done' & done; wait; times"


def test_builds_have_the_processors_that_the_builder_has(builder: Callable[..., Maker]) -> None:
    """Here, half of one; two processes would take all of two."""
    buildroot = builder(nano_cpus=500_000_000)().initialise()
    status, output = buildroot.mock("--chroot", SPIN)
    assert status == 0, output
    minutes, seconds = re.findall(r"^(\d+)m([\d.]+)s", output, re.MULTILINE)[-1]
    assert 0 < 60 * int(minutes) + float(seconds) < 3


FILL = "while :; do head -c 1M /dev/zero >> $HOME/file || sleep 0.1; done"


def test_the_build_that_has_filled_the_disk_is_ended(builder: Callable[..., Maker]) -> None:
    """Its buildroot is emptied, so that there is room for the others, whose logs grow meanwhile."""
    make = builder(tmpfs={"/var/lib/mock": "exec,size=1g,mode=755"})
    hog, other = make().initialise(), make().initialise()
    talk = "head -c 8M /dev/zero > own; while sleep 0.1; do seq 2000; done"
    other.mock_in_background("--unpriv", "--chroot", talk)
    status, _ = hog.mock("--unpriv", "--chroot", FILL)
    assert status == 10
    log = hog.log("root")
    assert "no other running build of this builder has written more than this one" in log
    assert "its buildroot was emptied" in log
    assert hog.root(f"ls {hog.path}/root") == ""
    assert is_alive(other), other.log("root")[-500:]
    other.root(f"head -c 100M /dev/zero > {other.path}/result/room")


def test_results_that_fill_the_disk_are_removed(builder: Callable[..., Maker]) -> None:
    """All but the logs. The sources' RPM that dnf was to read is in scratch/."""
    make = builder(tmpfs={"/var/lib/mock": "exec,size=900m,mode=755"})
    hog = make().initialise()
    make_results = "for n in 1 2; do head -c 400M /dev/urandom > %{_rpmdir}/z$n.noarch.rpm; done"
    hog.root(f"echo left > {hog.path}/scratch/left.src.rpm")
    srpm = hog.srpm(spec("hog", f"%install\n{make_results}"))
    status, output = hog.mock("--rebuild", "--no-clean", srpm)
    assert status == 10, output
    assert "its buildroot was emptied" in hog.log("root")
    assert not hog.results()
    assert hog.root(f"ls {hog.path}/root {hog.path}/scratch").split() == [
        f"{hog.path}/root:", f"{hog.path}/scratch:",
    ]  # fmt: skip


def test_a_result_of_holes_is_refused(builder: Callable[..., Maker]) -> None:
    make = builder(tmpfs={"/var/lib/mock": "exec,size=900m,mode=755"})
    hog = make().initialise()
    srpm = hog.srpm(spec("hog", "%install\ntruncate -s 100G %{_rpmdir}/zz-1-1.noarch.rpm"))
    assert hog.mock("--rebuild", "--no-clean", srpm)[0] == 20
    assert "is mostly holes" in hog.log("root")
    assert "zz-1-1.noarch.rpm" not in hog.results()


def test_a_builder_on_the_same_disk_keeps_its_build(builder: Callable[..., Maker]) -> None:
    """Though each builder sees only its own builds: the larger one is ended first."""
    tmpfs = DriverConfig("local", {"type": "tmpfs", "device": "tmpfs", "o": "size=700m,mode=755"})
    first = builder(mounts=[Mount("/srv/disk", None, driver_config=tmpfs)])
    second = builder(volumes_from=[first.container.name])
    hog, other = first(), second()
    for buildroot in hog, other:
        own = f"/srv/disk/{buildroot.name}"
        buildroot.root(f"mkdir {own} && mount --bind {own} /var/lib/mock")
        buildroot.initialise()
    other.mock_in_background(
        "--unpriv", "--chroot", "head -c 126M /dev/zero > $HOME/own; sleep 600"
    )
    wait_until(lambda: "126M" in other.root(f"du -sh {other.path}/root/builddir/own || true"), 30)
    assert hog.mock("--unpriv", "--chroot", FILL)[0] == 10
    assert "its buildroot was emptied" in hog.log("root")
    assert is_alive(other), other.log("root")[-500:]


def test_a_build_that_fails_for_a_full_disk_says_so(builder: Callable[..., Maker]) -> None:
    make = builder(tmpfs={"/var/lib/mock": "exec,size=1g,mode=755"})
    status, output = make().initialise().mock("--unpriv", "--chroot", "cat /dev/zero > $HOME/file")
    assert status == 10
    assert "give the builder a larger disk" in output


@pytest.mark.parametrize(
    "take",
    [
        "head -c 2G /dev/zero > /dev/shm/file",
        "for segment in 1 2 3; do ipcmk --shmem 150M; done",
    ],
    ids=["files", "System V's"],
)
def test_shared_memory_has_a_limit(builder: Callable[..., Maker], take: str) -> None:
    """It is no process's, so the kernel would kill other builds for it. The limit is 300 MiB."""
    make = builder(mem_limit="1200m", memswap_limit="1200m")
    hog, other = make().initialise(), make().initialise()
    other.mock_in_background("--chroot", "--", "sleep", "600")
    _, output = hog.mock("--chroot", take)
    assert "No space left on device" in output
    assert is_alive(other), other.log("root")[-500:]
