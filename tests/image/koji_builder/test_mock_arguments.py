"""mock, argument form by argument form, as kojid calls it: against a real buildroot."""

from collections.abc import Iterator

import pytest

from tests.image.koji_builder.buildroots import DEMO, SRPMS, UPSTREAM, Buildroot, Maker, spec
from tests.image.tracked import execute, execute_as

# kojid's calls, in their order.


def test_init_installs_the_group_and_leaves_what_kojid_reads(make: Maker) -> None:
    buildroot = make().initialise()
    assert buildroot.packages() == "demo-buildroot"
    logs = {"root", "build", "state", "hw_info", "installed_pkgs"}
    assert {f"{name}.log" for name in logs} == set(
        buildroot.root(f"ls {buildroot.path}/result").split()
    )
    assert "demo-buildroot-12-1" in buildroot.log("installed_pkgs")
    assert "Start: chroot init" in buildroot.log("state")
    # kojid logs the kernel's version. A single word is a shell command line.
    status, output = buildroot.mock("--chroot", "uname -r; exit 7")
    assert (status, buildroot.root("uname -r") in output) == (7, True)


def test_init_again_begins_with_nothing(make: Maker) -> None:
    buildroot = make().initialise()
    buildroot.root(f"touch {buildroot.path}/root/etc/left-over")
    buildroot.initialise()
    assert "left-over" not in buildroot.root(f"ls {buildroot.path}/root/etc")


@pytest.mark.parametrize(("name", "arch"), [("hello", "noarch"), ("hello-c", "x86_64")])
def test_rebuild_of_a_source_rpm(make: Maker, name: str, arch: str) -> None:
    buildroot = make().initialise()
    status, output = buildroot.mock(
        "--no-clean", "--target", arch, "--rebuild", f"{SRPMS}/{name}-1.0-1.src.rpm"
    )
    assert status == 0, output + buildroot.log("build")
    assert buildroot.results() == {f"{name}-1.0-1.demo.{arch}.rpm", f"{name}-1.0-1.demo.src.rpm"}
    # The compiler is installed only because hello-c requires it.
    assert ("demo-gcc" in buildroot.packages()) == (name == "hello-c")
    for suffix in (arch, "src"):
        rpm = f"{buildroot.path}/result/{name}-1.0-1.demo.{suffix}.rpm"
        fields = buildroot.root(f"rpm -qp --qf '%{{packager}}/%{{vendor}}/%{{distribution}}' {rpm}")
        assert fields == "Koji/Koji/Test"
    unpacked = buildroot.root(
        f"cd $(mktemp -d) && rpm2cpio {buildroot.path}/result/{name}-1.0-1.demo.{arch}.rpm"
        f" | python3 -c 'import sys; print(b\"usr/bin/{name}\" in sys.stdin.buffer.read())'"
    )
    assert "True" in unpacked


def test_generated_build_requirements_are_installed(make: Maker) -> None:
    buildroot = make().initialise()
    body = "%generate_buildrequires\necho gcc\n%build\ngcc --version"
    status, output = buildroot.mock(
        "--no-clean", "--target", "noarch", "--rebuild", buildroot.srpm(spec("dynamic", body))
    )
    assert status == 0, output + buildroot.log("root") + buildroot.log("build")
    assert buildroot.results() == {"dynamic-1-1.src.rpm", "dynamic-1-1.noarch.rpm"}
    rpm = f"{buildroot.path}/result/dynamic-1-1.src.rpm"
    assert "gcc" in buildroot.root(f"rpm -qp --requires {rpm}").split()
    bad = spec("undynamic", "%generate_buildrequires\necho provided-by-nobody")
    assert buildroot.mock("--no-clean", "--rebuild", buildroot.srpm(bad))[0] == 30


def test_a_source_rpm_is_unpacked_and_built_again(make: Maker) -> None:
    """kojid's rebuild_srpm: paths are of the chroot, both commands run as root."""
    buildroot = make(install_group="srpm-build").initialise()
    top = "/chroot_tmpdir/srpm_unpacked"
    buildroot.root(
        f"mkdir -p {buildroot.path}/root/chroot_tmpdir/srpm {buildroot.path}/root{top};"
        f" cp {SRPMS}/hello-1.0-1.src.rpm {buildroot.path}/root/chroot_tmpdir/srpm"
    )
    prefix = ("--no-clean", "--target", "noarch", "--chroot", "--")
    srpm = "/chroot_tmpdir/srpm/hello-1.0-1.src.rpm"
    assert buildroot.mock(*prefix, "rpm", "--define", f"_topdir {top}", "-iv", srpm)[0] == 0
    status, output = buildroot.mock(
        *prefix,
        "rpmbuild",
        "--define",
        f"_topdir {top}",
        "-bs",
        "--nodeps",
        f"{top}/SPECS/hello.spec",
    )
    assert (status, f"Wrote: {top}/SRPMS/hello-1.0-1.demo.src.rpm" in output) == (0, True)
    rpm = f"{buildroot.path}/root{top}/SRPMS/hello-1.0-1.demo.src.rpm"
    assert buildroot.root(f"rpm -qp --qf '%{{vendor}}' {rpm}") == "Koji"


def test_a_source_rpm_is_made_of_a_checkout(make: Maker) -> None:
    """kojid's build_srpm: `make sources` comes without `--`, and as the unprivileged user."""
    buildroot = make(install_group="srpm-build", use_host_resolv=True).initialise()
    inside = "/chroot_tmpdir/scmroot/hello"
    checkout = f"{buildroot.path}/root{inside}"
    buildroot.root(
        f"git clone --quiet {DEMO}/git/hello.git {checkout};"
        f" chown -R kojibuilder:mock {buildroot.path}/root/chroot_tmpdir/scmroot"
    )
    words = ("--no-clean", "--unpriv", "--cwd", inside, "--chroot", "make", "sources")
    status, output = buildroot.mock(*words)
    assert status == 0, output
    assert buildroot.root(f"stat -c %U {checkout}/hello-1.0.tar.gz").strip() == "kojibuilder"
    status, output = buildroot.mock(
        "--no-clean", "--buildsrpm", "--spec", f"{checkout}/hello.spec", "--sources", checkout,
        "--target", "noarch",
    )  # fmt: skip
    assert status == 0, output + buildroot.log("build")
    assert buildroot.results() == {"hello-1.0-1.demo.src.rpm"}


def test_packages_are_installed_and_a_command_runs_as_runroot_does(make: Maker) -> None:
    buildroot = make(use_host_resolv=True).initialise()
    assert buildroot.mock("--install", "gcc")[0] == 0
    assert buildroot.packages() == "demo-buildroot demo-gcc"
    # runroot mounts into the chroot beforehand.
    buildroot.root(
        f"mkdir {buildroot.path}/root/bound; mount --bind {DEMO} {buildroot.path}/root/bound"
    )
    line = "{ gcc --version; ls /bound; id -u; exit 3; } < /dev/null 2>&1"
    command = f"{line} | /usr/bin/tee /builddir/runroot.log; exit ${{PIPESTATUS[0]}}"
    words = ("--new-chroot", "--arch", "x86_64", "--chroot", "--", "/bin/sh", "-c", command)
    status, output = buildroot.mock(*words)
    buildroot.root(f"umount -l {buildroot.path}/root/bound")
    assert status == 3, output
    text = buildroot.root(f"cat {buildroot.path}/root/builddir/runroot.log")
    assert "gcc (Debian" in text
    assert text.endswith("sources.json\nsrpms\n0\n")
    assert text in output


# Calls that are refused, and other drivers.


def test_a_call_that_nobody_could_answer_is_refused(make: Maker) -> None:
    buildroot = make()
    assert buildroot.mock("--init", "--chroot", "true")[0] == 5
    assert buildroot.mock("--dance")[0] == 5
    assert buildroot.mock("--arch", "s390x", "--chroot", "true")[0] == 6
    foreign = make(forcearch="aarch64", target_arch="aarch64")
    status, output = foreign.mock("--init")
    assert (status, "emulation (forcearch" in output) == (6, True)


@pytest.fixture
def other_driver(make: Maker) -> Iterator[Buildroot]:
    """A buildroot of a builder whose mock is a shell script at /opt/mock."""
    buildroot = make()
    script = "#!/bin/sh\\necho $0 $(id -u) $SUDO_UID $@"
    buildroot.root(
        f"printf '{script}' > /opt/mock; chmod +x /opt/mock; ln -s /opt/mock /etc/mock/driver"
    )
    yield buildroot
    buildroot.root("rm /etc/mock/driver /opt/mock")


def test_other_drivers_take_the_place_of_ours(other_driver: Buildroot) -> None:
    uid = other_driver.root("id -u kojibuilder").strip()
    answer = other_driver.mock("--init")[1].split()
    assert answer == ["/etc/mock/driver", "0", uid, "-r", f"koji/{other_driver.name}", "--init"]


@pytest.mark.parametrize(
    ("change", "back", "message"),
    [
        # As if on a volume that is not mounted.
        ("mv /opt/mock /opt/gone", "mv /opt/gone /opt/mock", "No such file or directory"),
        ("chown kojibuilder /opt/mock", "chown root /opt/mock", "must belong to root"),
        ("chmod o+w /opt/mock", "chmod o-w /opt/mock", "must belong to root"),
        ("chown -h kojibuilder /etc/mock/driver", "true", "must belong to root"),
    ],
)
def test_a_driver_that_cannot_be_trusted_is_not_replaced_by_ours(
    other_driver: Buildroot, change: str, back: str, message: str
) -> None:
    other_driver.root(change)
    try:
        status, output = other_driver.mock("--init")
    finally:
        other_driver.root(back)
    assert (status, output.startswith("ERROR: /etc/mock/driver"), message in output) == (
        2, True, True,
    )  # fmt: skip


STAND_IN = """#!/bin/sh
echo $0 $(id -u) $SUDO_UID $@
cat /var/lib/mock/link
ls /etc/pki/koji
"""


@pytest.fixture
def upstream(ours_alone: None, make: Maker) -> Iterator[Maker]:
    """A builder that has a shell script in the place of upstream's mock."""
    builder = make()
    builder.put(UPSTREAM, STAND_IN)
    builder.root(
        f"chmod +x {UPSTREAM}; echo followed > /srv/file; ln -s /srv/file /var/lib/mock/link"
    )
    yield make
    builder.root(f"rm {UPSTREAM} /var/lib/mock/link")


def test_upstreams_mock_takes_over_what_ours_cannot_do(upstream: Maker) -> None:
    buildroot = upstream(package_manager="dnf5")
    uid = buildroot.root("id -u kojibuilder").strip()
    lines = buildroot.mock("--init")[1].splitlines()
    # It follows links below its folder, and sees no secrets of the builder's.
    words = ["--isolation=simple", "-r", f"koji/{buildroot.name}", "--init"]
    assert lines == [f"{UPSTREAM} 0 {uid} {' '.join(words)}", "followed"]
    # Nobody else does, kojid least of all; and every other build is ours.
    assert execute(buildroot.container, "cat", "/var/lib/mock/link")[0] != 0
    assert "Start: chroot init" in upstream().initialise().log("state")


# A caller that changes all that an exec inherits.
CALLER = """
import os, resource, signal
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
for number in (signal.SIGCHLD, signal.SIGXFSZ, signal.SIGHUP):
    signal.signal(number, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1, resource.RLIM_INFINITY))
os.dup2(os.open("/etc/hostname", os.O_RDONLY), 42)
os.execv("/usr/bin/mock", ["/usr/bin/mock", "--init"])
"""
INHERITED = """#!/bin/sh
grep -E '^(SigBlk|SigIgn)' /proc/self/status
grep 'Max file size' /proc/self/limits
test -e /proc/self/fd/42 && echo open || echo closed
"""


def test_nothing_that_a_caller_has_set_reaches_the_driver(other_driver: Buildroot) -> None:
    other_driver.put("/opt/mock", INHERITED)
    other_driver.root("chmod +x /opt/mock")

    def run(*argv: str) -> list[list[str]]:
        _, output = execute_as("kojibuilder", other_driver.container, *argv)
        return [line.split() for line in output.splitlines()[:4]]

    blocked, ignored, file_size, descriptor = run("python3", "-c", CALLER)
    assert blocked == ["SigBlk:", "0000000000000000"]
    # Signals 32 and 33 are libc's own: it changes them for nobody, and some engines ignore one.
    assert int(ignored[1], 16) & ~(0b11 << 31) == 0
    assert file_size == ["Max", "file", "size", "unlimited", "unlimited", "bytes"]
    assert descriptor == ["closed"]


# A caller that passes no argument, not even the program's name. Linux adds an empty one since
# 5.18; before, mock would have taken the environment for its arguments.
NAMELESS = """
import ctypes
nothing = (ctypes.c_char_p * 1)(None)
variables = (ctypes.c_char_p * 2)(b"--init", None)
ctypes.CDLL(None).execve(b"/usr/bin/mock", nothing, variables)
"""


def test_the_environment_is_not_taken_for_arguments(make: Maker) -> None:
    status, output = execute_as("kojibuilder", make.container, "python3", "-c", NAMELESS)
    assert status in (2, 5), output
