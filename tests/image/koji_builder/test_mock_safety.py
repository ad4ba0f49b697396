"""What mock prevents, with exactly the capabilities that moromi.yml gives a builder."""

import errno
import shlex
from collections.abc import Iterator

import docker
import pytest
from docker.models.containers import Container

from tests.image.koji_builder.buildroots import (
    CAPABILITIES,
    IMAGE,
    SRPMS,
    Maker,
    processes,
    spec,
)
from tests.image.tracked import Containers, execute, execute_as, outcome, wait_until

# From inside a chroot.


@pytest.mark.parametrize(
    "planted",
    [
        "ln -s /etc/shadow %{_rpmdir}/shadow.rpm",
        "ln -s /etc/shadow %{_srcrpmdir}/shadow.rpm",
        "mkfifo %{_rpmdir}/pipe.rpm",
        "rm -r %{_rpmdir} && ln -s /etc %{_rpmdir}",
        "cd / && mv /builddir/build /builddir/other && ln -s /etc /builddir/build",
    ],
)
def test_what_is_planted_among_the_results_stays_there(make: Maker, planted: str) -> None:
    buildroot = make().initialise()
    srpm = buildroot.srpm(spec("planter", f"%build\n%clean\n{planted}\nexit 0"))
    status, _ = buildroot.mock("--no-clean", "--target", "noarch", "--rebuild", srpm)
    assert status != 0
    assert not {"shadow.rpm", "pipe.rpm"} & buildroot.results()
    command = f"grep --text --files-with-matches root: {buildroot.path}/result/* || true"
    assert buildroot.root(command) == ""


def test_a_link_among_the_logs_and_results_is_not_written_through(make: Maker) -> None:
    buildroot = make().initialise()
    rpm = "hello-1.0-1.demo.noarch.rpm"
    buildroot.root(
        f"echo kept > /tmp/victim; chmod 666 /tmp/victim; cd {buildroot.path}/result;"
        f" ln -s /tmp/victim {rpm}"
    )
    rebuild = ("--no-clean", "--target", "noarch", "--rebuild", f"{SRPMS}/hello-1.0-1.src.rpm")
    assert buildroot.mock(*rebuild)[0] == 0
    assert buildroot.root(f"stat -c %F {buildroot.path}/result/{rpm}").strip() == "regular file"
    buildroot.root(f"cd {buildroot.path}/result; ln -sf /tmp/victim build.log")
    assert buildroot.mock(*rebuild)[0] != 0
    assert buildroot.root("cat /tmp/victim") == "kept\n"


@pytest.mark.parametrize("place", ["dev", "proc", "sys", "dev/pts"])
def test_a_link_in_the_place_of_a_mount_is_refused(make: Maker, place: str) -> None:
    buildroot = make().initialise()
    buildroot.root(f"cd {buildroot.path}/root; rm -rf {place}; mkdir -p $(dirname {place})")
    buildroot.root(f"ln -s /etc {buildroot.path}/root/{place}")
    status, output = buildroot.mock("--chroot", "true")
    if place == "dev/pts":  # it is hidden under a fresh /dev
        assert status == 0
    else:
        assert (status, "the chroot is damaged" in output) == (20, True)


def test_a_link_does_not_lead_dnf_to_write_outside(make: Maker) -> None:
    buildroot = make().initialise()
    buildroot.root("rm -rf /srv/outside; mkdir /srv/outside")
    for place in ("var/log", "usr/share/misc", "var/cache"):
        buildroot.root(f"cd {buildroot.path}/root; rm -rf {place}; ln -s /srv/outside {place}")
        buildroot.mock("--install", "gcc")
        assert buildroot.root("find /srv/outside") == "/srv/outside\n"


INSTALL = ("--install", "gcc")
REBUILD = ("--no-clean", "--target", "noarch", "--rebuild", f"{SRPMS}/hello-1.0-1.src.rpm")


@pytest.mark.parametrize(
    ("place", "words"),
    [("usr/lib/sysimage", INSTALL), ("builddir", REBUILD)],
)
def test_a_link_through_an_open_file_does_not_lead_mock_outside(
    make: Maker, place: str, words: tuple[str, ...]
) -> None:
    """mock itself works in the chroot as root, and has folders of the builder open."""
    buildroot = make().initialise()
    buildroot.root("rm -rf /srv/outside; mkdir -p /srv/outside/rpm; touch /srv/outside/rpm/file")
    before = buildroot.root("find /srv/outside -ls")
    for number in range(3, 9):
        target = f"/proc/self/fd/{number}/../../../../../../../srv/outside"
        buildroot.root(f"cd {buildroot.path}/root; rm -rf {place}; ln -s {target} {place}")
        buildroot.mock(*words)
        assert buildroot.root("find /srv/outside -ls") == before, number


def test_a_command_starts_in_the_chroot(make: Maker) -> None:
    """Whatever its working directory is a link to."""
    buildroot = make().initialise()
    buildroot.root(f"rm -rf {buildroot.path}/root/w; ln -s /proc/self/fd {buildroot.path}/root/w")
    for number in range(3, 9):
        _, output = buildroot.mock("--cwd", f"/w/{number}/../../..", "--chroot", "ls -di . /")
        assert len({line.split()[0] for line in output.splitlines() if line[:1].isdigit()}) < 2


def test_sources_that_lead_out_of_the_chroot_are_not_read(make: Maker) -> None:
    buildroot = make().initialise()
    checkout = f"{buildroot.path}/root/chroot_tmpdir/scmroot/x"
    buildroot.root(f"mkdir -p {checkout} && ln -s /etc/hostname {checkout}/x.spec")
    words = ("--no-clean", "--buildsrpm", "--spec", f"{checkout}/x.spec", "--sources", checkout)
    assert buildroot.mock(*words)[0] == 40
    buildroot.root(f"rm {checkout}/x.spec; mkfifo {checkout}/x.spec")
    status, output = buildroot.mock(*words)
    assert (status, "it is neither a file nor a folder" in output) == (40, True), output
    body = "%build\ncat %{SOURCE0}"
    buildroot.root(f"rm {checkout}/x.spec; ln -s /etc/shadow {checkout}/secret")
    buildroot.put(f"{checkout}/x.spec", spec("x", body, Source0="secret"))
    assert buildroot.mock(*words)[0] == 10
    assert buildroot.results() == set()


def test_root_in_the_chroot_has_no_power_over_the_kernel(make: Maker) -> None:
    buildroot = make().initialise()
    tries = {
        "echo 0 > /proc/sys/kernel/panic": "Read-only file system",
        "ls /proc/1/root/": "Permission denied",
        "ls /etc/pki/koji": "No such file",
        f"cat {buildroot.path}/root/etc/passwd": "No such file",
    }
    for line, answer in tries.items():
        status, output = buildroot.mock("--chroot", line)
        assert (status != 0, answer in output) == (True, True), (status, output)
    effective = buildroot.mock("--chroot", "grep CapEff /proc/self/status")[1]
    capabilities = int(effective.split("CapEff:")[1].split()[0], 16)
    assert not capabilities & (1 << 21)  # CAP_SYS_ADMIN
    assert "NoNewPrivs:\t1" in buildroot.mock("--unpriv", "--chroot", "cat /proc/self/status")[1]


def test_nobody_in_the_chroot_writes_to_control_groups(make: Maker) -> None:
    """With cgroup v1, they are in a tmpfs that all builds of a builder see."""
    buildroot = make().initialise()
    line = "find /sys -writable -type d 2>/dev/null; ls -d /sys/fs/cgroup; touch /sys/fs/cgroup/x"
    status, output = buildroot.mock("--chroot", line)
    assert status != 0
    assert "Read-only file system" in output
    assert output.count("/sys/fs/cgroup\n") == 1, output


# Asks for a user namespace by clone3, clone and unshare, and prints the error number of each.
NAMESPACES = r"""
#include <errno.h>
#include <linux/sched.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>
long report(long result) { if (result == 0) _exit(0); return result < 0 ? errno : 0; }
int main(void) {
    struct clone_args asked = { .flags = CLONE_NEWUSER, .exit_signal = 17 };
    printf("%ld ", report(syscall(SYS_clone3, &asked, sizeof asked)));
    printf("%ld ", report(syscall(SYS_clone, CLONE_NEWUSER | 17, 0, 0, 0, 0)));
    printf("%ld ", report(syscall(SYS_unshare, CLONE_NEWUSER)));
    return 0;
}
"""


@pytest.mark.parametrize("words", [("--unpriv",), ()], ids=["user", "root"])
def test_nobody_in_the_chroot_makes_a_user_namespace(make: Maker, words: tuple[str, ...]) -> None:
    """Whoever makes one is root in it, with all capabilities."""
    buildroot = make().initialise()
    assert buildroot.mock("--install", "gcc")[0] == 0
    buildroot.root(f"cat >{buildroot.path}/root/tmp/try.c <<'END'\n{NAMESPACES}END")
    compile_and_run = "gcc -o /tmp/try /tmp/try.c && /tmp/try"
    status, output = buildroot.mock(*words, "--chroot", compile_and_run)
    assert (status, f"{errno.ENOSYS} {errno.EPERM} {errno.EPERM}" in output) == (0, True), output


# Asks for sockets that lead out of the machine, and for many terminals.
NETWORK_MASTER = r"""
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>
#define OWNER 0x7ffffff0
#define TRY(name, call) printf(name " %d\n", (call) < 0 ? errno : 0)

int main(void) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    setvbuf(stdout, NULL, _IONBF, 0);
    TRY("packet", socket(AF_PACKET, SOCK_RAW, 0));
    TRY("raw", socket(AF_INET, SOCK_RAW, 1));
    TRY("loopback", bind(socket(AF_INET, SOCK_STREAM, 0), (void *)&address, sizeof address));
    TRY("owner", setuid(OWNER));
    TRY("owner", setreuid(OWNER, -1));
    TRY("owner", setreuid(-1, OWNER));
    TRY("owner", setresuid(OWNER, -1, -1));
    TRY("owner", setresuid(-1, OWNER, -1));
    TRY("owner", setresuid(-1, -1, OWNER));
    TRY("other", seteuid(1000));
    return 0;
}
"""
LEAVER = r"""
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>
int main(void) {
    int opened = 0;
    printf("%d ", socket(AF_VSOCK, SOCK_STREAM, 0) < 0 ? errno : 0);
    printf("%d ", syscall(SYS_io_uring_setup, 1, 0) < 0 ? errno : 0);
    while (opened < 1000 && open("/dev/ptmx", O_RDWR) >= 0) opened++;
    printf("%d\n", opened);
    return 0;
}
"""


def test_a_build_reaches_no_hypervisor_and_leaves_terminals_to_others(make: Maker) -> None:
    buildroot = make().initialise()
    assert buildroot.mock("--install", "gcc")[0] == 0
    buildroot.root(f"cat >{buildroot.path}/root/tmp/try.c <<'END'\n{LEAVER}END")
    compile_and_run = "gcc -o /tmp/try /tmp/try.c && ulimit -n 2000 && /tmp/try"
    status, output = buildroot.mock("--unpriv", "--chroot", compile_and_run)
    assert status == 0, output
    assert f"{errno.EAFNOSUPPORT} {errno.ENOSYS} 256\n" in output


def test_root_in_a_chroot_has_no_power_over_its_network(make: Maker) -> None:
    """Its user namespace is of a user that nobody in there can become; its loopback is up."""
    buildroot = make().initialise()
    assert buildroot.mock("--install", "gcc")[0] == 0
    buildroot.root(f"cat >{buildroot.path}/root/tmp/try.c <<'END'\n{NETWORK_MASTER}END")
    status, output = buildroot.mock("--chroot", "gcc -o /tmp/try /tmp/try.c && /tmp/try")
    assert status == 0, output
    assert f"packet {errno.EPERM}\nraw {errno.EPERM}\nloopback 0\n" in output
    assert output.count(f"owner {errno.EPERM}\n") == 6
    assert "other 0\n" in output


def test_root_who_climbs_out_of_a_scriptlet_finds_nothing_to_take_or_break(make: Maker) -> None:
    """rpm runs scriptlets with chroot(2), so they can see the builder, but not write to it."""
    make().root(
        "mkdir -p /var/lib/mock/neighbour /var/tmp/koji /etc/kojid /mnt/koji/{work,.snapshots};"
        " touch /var/tmp/koji/task /etc/kojid/kojid.conf /mnt/koji/{work/upload,.snapshots/one}"
    )
    buildroot = make(install_group="escape").initialise()
    assert buildroot.root(f"cat {buildroot.path}/root/climbed").splitlines() == [
        "chroot: 0", "outside: 1", "key: 0", "written: 0", "neighbour: 0", "task: 0", "kojid: 0",
        "upload: 0", "snapshot: 0", "terminals: 0", "leased: 0", "leased by force: 0", "joined: 0",
        "mounted: 0", "remounted: 0",
    ]  # fmt: skip
    assert "escape-1-1.noarch" in buildroot.log("installed_pkgs").splitlines()
    # A command in the chroot cannot get out at all.
    status, output = buildroot.mock("--chroot", "/climber")
    assert (status, "chroot: 0\noutside: 0\nkey: 0" in output) == (0, True)
    assert "mounted: 0\nremounted: 0" in output
    assert "escaped" not in buildroot.root("ls /var/lib/mock")


def test_devices_in_a_chroot_open_nothing(make: Maker) -> None:
    buildroot = make().initialise()
    device = f"{buildroot.path}/root/tmp/null"
    # kojid reads there too.
    assert "Permission denied" in buildroot.root(
        f"mknod -m 666 {device} c 1 3; cat {device} || true"
    )
    status, output = buildroot.mock("--chroot", "cat /tmp/null")
    assert (status != 0, "/tmp/null: Permission denied" in output) == (True, True), output
    assert buildroot.mock("--chroot", "cat /dev/null; echo x >/dev/null")[0] == 0


def test_root_in_a_chroot_does_not_change_the_builders_devices(make: Maker) -> None:
    """They are those of every build."""
    buildroot = make().initialise()
    before = buildroot.root("stat --format='%n %a %u' /dev/null /dev/urandom /dev/tty")
    changes = "chmod 0 /dev/null; chown 7 /dev/urandom; touch -d 2100-01-01 /dev/tty"
    assert "Read-only file system" in buildroot.mock("--chroot", changes)[1]
    assert buildroot.root("stat --format='%n %a %u' /dev/null /dev/urandom /dev/tty") == before


def test_a_chroot_is_no_younger_than_its_last_use(make: Maker) -> None:
    """kojid empties one by its age, and would keep this one until the date that root has set."""
    buildroot = make().initialise()
    assert buildroot.mock("--chroot", "touch --date=2100-01-01 /")[0] == 0
    changed = float(buildroot.root(f"stat --format=%Y {buildroot.path}/root"))
    assert abs(changed - float(buildroot.root("date +%s"))) < 600


def test_the_builds_user_does_not_choose_where_roots_links_go(make: Maker) -> None:
    buildroot = make().initialise()
    buildroot.put(f"{buildroot.path}/root/builddir/.rpmmacros", "%_dbpath /srv/planted\n")
    assert "/srv/planted" in buildroot.mock("--unpriv", "--chroot", "rpm --eval %_dbpath")[1]
    assert buildroot.mock("--install", "gcc")[0] == 0
    assert buildroot.root(f"ls -A {buildroot.path}/root/srv") == ""


def test_a_build_does_not_choose_how_long_an_error_is(make: Maker) -> None:
    buildroot = make().initialise()
    plant = "for n in `seq 300`; do touch `printf %{_srcrpmdir}/%%0200d.src.rpm $n`; done"
    crowd = f"%global planted %([ ! -d /builddir ] || {plant})"
    srpm = buildroot.srpm(spec("crowd", f"%build\n{crowd}\n: %{{planted}}"))
    status, output = buildroot.mock("--no-clean", "--target", "noarch", "--rebuild", srpm)
    (line,) = [line for line in output.splitlines() if line.startswith("ERROR: expected one")]
    assert (status, 4000 < len(line) < 4200) == (40, True), (status, len(line))
    assert buildroot.log("build").count("ERROR: ") == 1


@pytest.fixture
def server(host: Container) -> Iterator[str]:
    """The URL of a server in the builder, with the repository."""
    argv = ["python3", "-m", "http.server", "--directory", "/mnt/koji", "8123"]
    host.exec_run(argv, detach=True)
    probe = ("bash", "-c", "echo > /dev/tcp/127.0.0.1/8123")
    wait_until(lambda: execute(host, *probe)[0] == 0, 60, "the server answers")
    yield "http://127.0.0.1:8123"
    (pid,) = [number for number, words in processes(host).items() if "8123" in words]
    execute(host, "bash", "-c", f"kill {pid}")
    wait_until(lambda: pid not in processes(host), 30, "the server has ended")


def test_scriptlets_have_no_network_and_leave_nothing_to_the_next_dnf(
    make: Maker, server: str
) -> None:
    """dnf itself has one: it installs from the server that the scriptlet cannot reach."""
    buildroot = make(install_group="caller", topurls=[server])
    body = "%build\ncat /answer\ngrep -l 9876[5] /proc/[0-9]*/cmdline | grep . || echo no process"
    srpm = buildroot.srpm(spec("listener", body))
    status, output = buildroot.mock("--target", "noarch", "--rebuild", srpm)
    assert status == 0, output + buildroot.log("root")
    assert "caller" in buildroot.packages()
    log = buildroot.log("build")
    assert "connected" not in log
    assert "Address family not supported by protocol" in log
    assert "\nno process\n" in log


def test_no_log_of_dnfs_leads_to_what_dnf_reads(make: Maker, server: str) -> None:
    """dnf opens its logs from outside of the chroot, before it loads the plugin for scriptlets."""
    buildroot = make(topurls=[server]).initialise()
    logs = f"{buildroot.path}/root/var/log"
    plugin = "/var/lib/mock/.dnf/plugins/offline.py"
    buildroot.root(
        f"mkdir -p {logs}; cd {logs}; for name in dnf dnf.librepo dnf.rpm hawkey; do "
        f"ln -sf {plugin} $name.log; done"
    )
    assert buildroot.mock("--install", "caller")[0] == 30
    assert "Read-only file system" in buildroot.log("root")


def test_scriptlets_leave_nothing_to_a_dnf_that_tries_again(make: Maker) -> None:
    buildroot = make(install_group="retried").initialise()
    assert "dnf tries again" in buildroot.log("root")
    assert buildroot.root(f"cat {buildroot.path}/root/running") == ""
    # It ended before the pause between the two, in which nothing limits processes.
    assert buildroot.root(f"ls {buildroot.path}/root/late || true").endswith(
        "No such file or directory\n"
    )


def test_dnf_believes_no_cache_that_a_scriptlet_can_write(make: Maker) -> None:
    buildroot = make().initialise()
    root = f"{buildroot.path}/root"
    buildroot.root(f"mkdir -p {root}/var/cache/yum; touch {root}/var/cache/yum/build.solv")
    assert buildroot.mock("--install", "gcc")[0] == 0
    assert "build.solv" in buildroot.root(f"ls {root}/var/cache/yum")
    assert buildroot.root(f"find {root}/var/cache/yum -empty -name build.solv") == ""
    buildroot.root(f"cd {root}/var; rm -rf cache; ln -s {root}/srv cache; mkdir -p {root}/srv/yum")
    status, output = buildroot.mock("--install", "gcc")
    assert (status, "/var/cache is a link" in output) == (20, True), output


def test_scriptlets_have_no_network_where_builds_have_it(make: Maker, server: str) -> None:
    """kojid asks for it where a source RPM is made from git, whose sources a command fetches."""
    buildroot = make(install_group="caller", topurls=[server], use_host_resolv=True).initialise()
    answer = buildroot.root(f"cat {buildroot.path}/root/answer")
    assert "Address family not supported by protocol" in answer


# By its callers.


def test_only_roots_own_configuration_is_read_and_as_the_caller(make: Maker) -> None:
    buildroot = make()
    configuration = f"/etc/mock/koji/{buildroot.name}.cfg"
    code = "import os; raise SystemExit(f'uid {os.getuid()} {os.geteuid()} {os.getresuid()}')"
    content = buildroot.root(f"cat {configuration}")
    buildroot.put(configuration, code)
    uid = buildroot.root("id -u kojibuilder").strip()
    status, output = buildroot.mock("--init")
    assert (status, f"uid {uid} {uid} ({uid}, {uid}, {uid})" in output) == (3, True)
    buildroot.put(configuration, content)
    buildroot.root(f"chown kojibuilder {configuration}")
    status, output = buildroot.mock("--init")
    assert (status, "it must belong to root" in output) == (3, True)
    for name in ("../../tmp/x", "/tmp/x", "koji/../koji/x", ""):
        argv = ["/usr/bin/mock", "-r", name, "--init"]
        assert execute_as("kojibuilder", buildroot.container, *argv)[0] in (3, 5)


def test_a_directory_that_others_can_write_is_refused(make: Maker) -> None:
    buildroot = make()
    buildroot.root("chmod g+w /var/lib/mock")
    try:
        status, output = buildroot.mock("--init")
    finally:
        buildroot.root("chmod g-w /var/lib/mock")
    assert (status, "hint: chown root: /var/lib/mock" in output) == (20, True)


def test_only_the_group_mock_may_call_it(host: Container) -> None:
    # Through a shell: `docker exec` starts its own program with root's rights.
    argv = ["sh", "-c", "exec /usr/bin/mock --check-host"]
    assert execute_as("nobody", host, *argv)[0] == 126
    assert execute_as("kojibuilder", host, *argv)[0] == 0
    assert execute(host, *argv)[0] == 0
    stat = ("stat", "-c", "%A %U %G", "/usr/bin/mock")
    assert execute(host, *stat)[1] == "-rwsr-x--- root mock\n"


# What the container must allow.


def test_check_host_says_what_to_add(containers: Containers) -> None:
    check = ("/usr/bin/mock", "--check-host")
    status, output = outcome(containers.start(IMAGE, *check))
    assert status == 80
    assert "hint: start the builder with --cap-add SYS_ADMIN" in output
    assert "apparmor=unconfined" in output
    assert outcome(containers.start(IMAGE, *check, **CAPABILITIES)) == (0, "")


def test_no_new_privileges_is_said_to_be_in_the_way(containers: Containers) -> None:
    options = {**CAPABILITIES, "security_opt": ["no-new-privileges"]}
    check = ("/usr/bin/mock", "--check-host")
    status, output = outcome(containers.start(IMAGE, *check, **options))
    assert (status, "no-new-privileges" in output) == (80, True)
    status, output = outcome(containers.start(IMAGE, *check, user="kojibuilder", **options))
    assert (status, "must not run with no-new-privileges" in output) == (2, True)


def test_a_privileged_builder_is_refused(containers: Containers) -> None:
    """Told by a capability that nothing else has, so that no test starts a privileged container."""
    options = {**CAPABILITIES, "cap_add": [*CAPABILITIES["cap_add"], "SYS_RAWIO"]}
    status, output = outcome(containers.start(IMAGE, "/usr/bin/mock", "--check-host", **options))
    assert status == 80
    assert "hint: start the builder without --privileged" in output


def test_nothing_here_was_privileged(host: Container, engine: docker.DockerClient) -> None:
    settings = engine.api.inspect_container(host.id)["HostConfig"]
    assert settings["Privileged"] is False
    assert set(settings["CapAdd"]) == set(CAPABILITIES["cap_add"])
    assert shlex.join(settings["CapDrop"]) == "ALL"
