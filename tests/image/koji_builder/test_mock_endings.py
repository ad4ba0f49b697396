"""How mock ends: exit statuses, time limits, signals, and that nothing is left behind."""

import shlex

import pytest

from tests.image.koji_builder.buildroots import DEMO, SRPMS, Maker, processes, spec
from tests.image.tracked import wait_until


def test_what_fails_has_a_status_that_names_the_right_log(make: Maker) -> None:
    buildroot = make().initialise()
    rebuild = ("--no-clean", "--target", "noarch", "--rebuild")
    assert buildroot.mock(*rebuild, f"{SRPMS}/fails-1.0-1.src.rpm")[0] == 10
    assert "this package is meant to fail" in buildroot.log("build")
    assert buildroot.mock(*rebuild, f"{SRPMS}/lacks-1.0-1.src.rpm")[0] == 30
    assert "'provided-by-nobody >= 1'" in buildroot.log("root")
    assert buildroot.mock("--install", "provided-by-nobody")[0] == 30
    assert buildroot.mock(*rebuild, f"{DEMO}/sources.json")[0] == 40
    assert buildroot.mock(*rebuild, "/nowhere.src.rpm")[0] == 40
    assert "cannot read /nowhere.src.rpm" in buildroot.log("root")
    assert buildroot.results() == set()


def test_a_group_that_installs_nothing_is_no_buildroot(make: Maker) -> None:
    buildroot = make(install_group="virtual")
    assert buildroot.mock("--init")[0] == 30
    assert "the group has to list packages by name" in buildroot.log("root")


def test_a_server_that_is_away_is_waited_for_while_dnf_installs(make: Maker) -> None:
    buildroot = make(topurls=["http://127.0.0.1:8123"])
    buildroot.mock_in_background("--init")
    wait_until(lambda: "dnf tries again" in buildroot.log("root"), 60, "dnf failed")
    assert not buildroot.packages()
    server = ["python3", "-m", "http.server", "--directory", "/mnt/koji", "8123"]
    buildroot.container.exec_run(server, detach=True)
    wait_until(lambda: not buildroot.processes(), 120, "mock has ended")
    try:
        assert "demo-buildroot" in buildroot.packages()
        # What the server does not have is missed at once.
        elsewhere = make(topurls=["http://127.0.0.1:8123/nowhere"])
        assert elsewhere.mock("--init")[0] == 30
        assert "Status code: 404" in elsewhere.log("root")
        assert "dnf tries again" not in elsewhere.log("root")
    finally:
        (pid,) = [n for n, words in processes(buildroot.container).items() if "8123" in words]
        buildroot.root(f"kill {pid}")
        wait_until(lambda: pid not in processes(buildroot.container), 10, "the server has ended")


def test_one_buildroot_has_one_mock(make: Maker) -> None:
    buildroot = make().initialise()
    buildroot.mock_in_background("--chroot", "--", "sleep", "30")
    status, output = buildroot.mock("--chroot", "true")
    assert (status, "in use by another mock" in output) == (60, True)
    buildroot.root(f"kill {min(buildroot.processes())}")
    wait_until(lambda: buildroot.mock("--chroot", "true")[0] == 0, 10)


def test_a_build_that_takes_too_long_is_ended(make: Maker) -> None:
    buildroot = make(rpmbuild_timeout=2).initialise()
    status, _ = buildroot.mock("--no-clean", "--rebuild", f"{SRPMS}/slow-1.0-1.src.rpm")
    assert status == 11
    assert "ran longer than 2 s" in buildroot.log("build")


@pytest.mark.parametrize("signal", ["INT", "TERM", "KILL"])
@pytest.mark.parametrize("whom", ["first", "all"])
def test_cancelled_it_leaves_no_process_and_no_mount(make: Maker, signal: str, whom: str) -> None:
    """kojid signals every descendant, deepest first. The fixture `make` checks what is left."""
    buildroot = make().initialise()
    number = buildroot.mock_in_background("--no-clean", "--rebuild", f"{SRPMS}/slow-1.0-1.src.rpm")
    running: dict[int, str] = {}
    while "sleep 600 " not in running.values():
        running = processes(buildroot.container)
    victims = [number] if whom == "first" else [n for n in sorted(running, reverse=True) if n != 1]
    buildroot.root(f"for n in {shlex.join(map(str, victims))}; do kill -{signal} $n || true; done")
    wait_until(lambda: not buildroot.processes(), 10, "mock has ended")
    assert buildroot.results() == set()


def test_a_daemon_that_a_build_leaves_behind_ends_with_it(make: Maker) -> None:
    buildroot = make().initialise()
    status, output = buildroot.mock("--chroot", "--", "sh", "-c", "sleep 500 & echo started")
    assert (status, "started" in output) == (0, True)
    assert "sleep 500 " not in processes(buildroot.container).values()


# A program that ends while another one traces it, so that nobody else can reap it.
TRACED = r"""
cat > /tmp/traced.c << 'END'
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <unistd.h>
int main(void)
{
    prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY);
    if (fork() == 0) {
        ptrace(PTRACE_SEIZE, getppid(), 0, 0);
        sleep(600);
    }
    sleep(1);
    return 0;
}
END
gcc -w -o /tmp/traced /tmp/traced.c && exec /tmp/traced
"""


def test_a_program_that_is_traced_to_its_end_does_not_hold_mock(make: Maker) -> None:
    buildroot = make().initialise()
    assert buildroot.mock("--install", "gcc")[0] == 0
    status, output = buildroot.mock("--unpriv", "--chroot", TRACED)
    assert (status, "has ended and cannot be reaped" in output) == (10, True)
    assert not buildroot.processes()


def test_what_a_build_leaves_running_is_ended_before_its_results_are_copied(make: Maker) -> None:
    """It could stop the process that copies them, which is the same user's."""
    leave = "%build\nsetsid sleep 98765 >/dev/null 2>&1 &\n%install\n%files"
    buildroot = make().initialise()
    buildroot.mock_in_background("--rebuild", buildroot.srpm(spec("leaver", leave)))
    wait_until(lambda: not buildroot.processes(), 120, "mock has ended")
    assert "leaver-1-1.noarch.rpm" in buildroot.results()
