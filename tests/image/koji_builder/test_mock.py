"""mock, argument form by argument form, as kojid calls it: against a real buildroot, with the
capabilities that moromi.yml gives a builder and no more."""

import io
import json
import shlex
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count

import docker
import pytest
from docker.models.containers import Container

from tests.image.tracked import Containers, execute, outcome, privileges, wait_until

IMAGE = "koji-builder"
CAPABILITIES = privileges("kojibuilder")
DEMO = "/usr/share/nagoya/demo"
SRPMS = f"{DEMO}/srpms"
HOST = ("sleep", "infinity")

COMPS = """<?xml version="1.0"?><comps>{groups}</comps>"""
GROUP = """<group><id>{name}</id><name>{name}</name><uservisible>true</uservisible><packagelist>
<packagereq type="mandatory">{package}</packagereq></packagelist></group>"""

# kojid writes its configurations with this very function.
CONFIGURE = """
import json, sys, koji
name, options = sys.argv[1], json.loads(sys.argv[2])
text = koji.genMockConfig(name, "x86_64", managed=True, repoid=1, tag_name="t", buildroot_id=1,
                          topdir="/mnt/koji", packager="Koji", vendor="Koji",
                          distribution="Test", **options)
with open(f"/etc/mock/koji/{name}.cfg", "w") as file:
    file.write(text)
"""
# How kojid reads what is installed (builder/kojid, getPackageList).
PACKAGES = """
import rpm, sys
rpm.addMacro("_dbpath", sys.argv[1] + "/root/var/lib/rpm")
print(" ".join(sorted(header["name"] for header in rpm.TransactionSet().dbMatch())))
"""
# Every process in the builder that has arguments: its number and those.
PROCESSES = """
import json, pathlib
found = {}
for folder in pathlib.Path("/proc").glob("[0-9]*"):
    try:
        words = (folder / "cmdline").read_bytes().decode(errors="replace").split(chr(0))
    except OSError:
        continue
    if words[0]:
        found[folder.name] = " ".join(words)
print(json.dumps(found))
"""
NUMBERS = count(1)


def processes(container: Container) -> dict[int, str]:
    """The processes in a container, but for the one that looks."""
    output = execute(container, "python3", "-c", PROCESSES)[1]
    found = {int(number): words for number, words in json.loads(output).items()}
    return {number: words for number, words in found.items() if PROCESSES.strip() not in words}


@dataclass
class Buildroot:
    """One buildroot, with the calls that kojid makes, and looks at what they leave."""

    container: Container
    name: str

    @property
    def path(self) -> str:
        return f"/var/lib/mock/{self.name}"

    def mock(self, *words: str) -> tuple[int, str]:
        """Call mock as kojid's child does: as kojibuilder, in the group mock."""
        argv = ["/usr/bin/mock", "-r", f"koji/{self.name}", *words]
        status, output = self.container.exec_run(argv, user="kojibuilder")
        return int(status), output.decode()

    def mock_in_background(self, *words: str) -> int:
        """Start mock, and return the number of the process that it becomes."""
        argv = ["/usr/bin/mock", "-r", f"koji/{self.name}", *words]
        self.container.exec_run(argv, user="kojibuilder", detach=True)

        return wait_until(lambda: min(self.processes(), default=0), 10, "mock runs")

    def processes(self) -> dict[int, str]:
        """Those processes that are a mock of this buildroot's."""
        mine = f"nagoya/mock -r koji/{self.name} "
        return {n: words for n, words in processes(self.container).items() if mine in words}

    def root(self, command: str) -> str:
        """What a shell of root's prints in the builder, which must succeed."""
        status, output = execute(self.container, "bash", "-c", command)
        assert status == 0, output
        return output

    def log(self, name: str) -> str:
        return self.root(f"cat {self.path}/result/{name}.log")

    def results(self) -> set[str]:
        return {name for name in self.root(f"ls {self.path}/result").split() if "rpm" in name}

    def packages(self) -> str:
        return execute(self.container, "python3", "-c", PACKAGES, self.path)[1].strip()

    def initialise(self) -> "Buildroot":
        status, output = self.mock("--init")
        assert status == 0, output + self.log("root")
        return self

    def put(self, path: str, text: str) -> None:
        put(self.container, path, text)

    def srpm(self, spec: str) -> str:
        """Make a source RPM of a spec that needs no sources."""
        name = spec.split("Name:")[1].split(maxsplit=1)[0]
        self.put(f"/tmp/{name}.spec", spec)
        define = "--define '_srcrpmdir /tmp' --define '_topdir /tmp/top'"
        return self.root(f"rpmbuild -bs {define} /tmp/{name}.spec").split("Wrote: ")[1].split()[0]


def put(container: Container, path: str, text: str) -> None:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        member = tarfile.TarInfo(path.lstrip("/"))
        member.size = len(text.encode())
        member.mode = 0o644
        tar.addfile(member, io.BytesIO(text.encode()))
    container.put_archive("/", archive.getvalue())


def spec(name: str, body: str, **tags: str) -> str:
    lines = [f"Name: {name}", "Version: 1", "Release: 1", "Summary: x", "License: MIT",
             "BuildArch: noarch", *(f"{key}: {value}" for key, value in tags.items()),
             "%description", "x", body, "%files", ""]  # fmt: skip
    return "\n".join(lines)


@pytest.fixture(scope="module")
def host(module_containers: Containers) -> Container:
    """A builder that runs nothing, with a repository of the demo's packages for the tag `t`."""
    # The engine's own question would be one process more than the tests expect.
    unasked = {"test": ["NONE"]}
    container = module_containers.start(IMAGE, *HOST, healthcheck=unasked, **CAPABILITIES)
    put(container, "/tmp/escape.spec", ESCAPE)
    groups = [
        ("build", "demo-buildroot"),
        ("srpm-build", "demo-buildroot"),
        ("virtual", "rpm-build"),  # which demo-buildroot only provides
        ("escape", "escape"),
    ]
    text = COMPS.format(groups="".join(GROUP.format(name=n, package=p) for n, p in groups))
    put(container, "/tmp/comps.xml", text)
    status, output = execute(
        container, "bash", "-ec",
        f"""repo=/mnt/koji/repos/t/1/x86_64; mkdir -p $repo; cp {DEMO}/rpms/*.rpm $repo
        rpmbuild -bb --quiet --define "_rpmdir $repo" --define "_topdir /tmp/top" /tmp/escape.spec
        createrepo_c --quiet --groupfile /tmp/comps.xml $repo
        mkdir -p /etc/pki/koji && echo secret > /etc/pki/koji/key""",
    )  # fmt: skip
    assert status == 0, output
    return container


@pytest.fixture
def make(host: Container) -> Iterator["Maker"]:
    maker = Maker(host)
    yield maker
    assert [words.strip() for words in processes(host).values()] == [" ".join(HOST)]
    assert "/var/lib/mock" not in execute(host, "cat", "/proc/mounts")[1]


class Maker:
    """Makes buildroots with names of their own."""

    def __init__(self, container: Container) -> None:
        self.container = container

    def __call__(self, **options: object) -> Buildroot:
        """A buildroot that is configured, with the options of koji.genMockConfig."""
        name = f"t-{next(NUMBERS)}-1"
        argv = ["python3", "-c", CONFIGURE, name, json.dumps(options)]
        status, output = execute(self.container, *argv)
        assert status == 0, output
        return Buildroot(self.container, name)


# What kojid calls, and in the order in which it does.


def test_init_installs_the_group_and_leaves_what_kojid_reads(make: Maker) -> None:
    buildroot = make().initialise()
    assert buildroot.packages() == "demo-buildroot"
    logs = {"root", "build", "state", "hw_info", "installed_pkgs"}
    assert {f"{name}.log" for name in logs} == set(
        buildroot.root(f"ls {buildroot.path}/result").split()
    )
    assert "demo-buildroot-12-1" in buildroot.log("installed_pkgs")
    assert "Start: chroot init" in buildroot.log("state")
    # kojid logs the kernel's version; one word is a line for the shell.
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
    # The compiler was installed because hello-c asks for it, and for no other reason.
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
    # What runroot binds into the chroot beforehand is there.
    buildroot.root(
        f"mkdir {buildroot.path}/root/bound; mount --bind {DEMO} {buildroot.path}/root/bound"
    )
    line = "{ gcc --version; ls /bound; id -u; exit 3; } < /dev/null 2>&1"
    command = f"{line} | /usr/bin/tee /builddir/runroot.log; exit ${{PIPESTATUS[0]}}"
    words = ("--new-chroot", "--arch", "x86_64", "--chroot", "--", "/bin/sh", "-c", command)
    status, output = buildroot.mock(*words)
    buildroot.root(f"umount -l {buildroot.path}/root/bound")
    assert status == 3, output
    said = buildroot.root(f"cat {buildroot.path}/root/builddir/runroot.log")
    assert "gcc (Debian" in said
    assert said.endswith("sources.json\nsrpms\n0\n")
    assert said in output


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
    assert "/nowhere.src.rpm cannot be read" in buildroot.log("root")
    assert buildroot.results() == set()


def test_a_group_that_installs_nothing_is_no_buildroot(make: Maker) -> None:
    buildroot = make(install_group="virtual")
    assert buildroot.mock("--init")[0] == 30
    assert "the group has to name packages by their own names" in buildroot.log("root")


def test_a_call_that_nobody_could_answer_is_refused(make: Maker) -> None:
    buildroot = make()
    assert buildroot.mock("--init", "--chroot", "true")[0] == 5
    assert buildroot.mock("--dance")[0] == 5
    assert buildroot.mock("--arch", "s390x", "--chroot", "true")[0] == 6
    foreign = make(forcearch="aarch64", target_arch="aarch64")
    status, output = foreign.mock("--init")
    assert (status, "emulation (forcearch" in output) == (6, True)


def test_one_buildroot_has_one_mock(make: Maker) -> None:
    buildroot = make().initialise()
    buildroot.mock_in_background("--chroot", "--", "sleep", "30")
    status, output = buildroot.mock("--chroot", "true")
    assert (status, "in use by another mock" in output) == (60, True)
    buildroot.root(f"kill {min(buildroot.processes())}")
    wait_until(lambda: buildroot.mock("--chroot", "true")[0] == 0, 10)


# What a configuration asks for.


def test_the_configuration_is_followed(make: Maker) -> None:
    buildroot = make(
        use_host_resolv=True,
        internal_dev_setup=True,
        bind_opts={"dirs": {DEMO: "/credentials/of/scm"}},
        tag_macros={"%lucky": "seven"},
        tag_envvars={"LUCKY": "yes"},
        maven_opts=["-Xmx1g"],
    ).initialise()
    status, output = buildroot.mock(
        "--chroot",
        "ls /credentials/of/scm; rpm --eval %lucky; echo $LUCKY; cat /etc/mavenrc /etc/hosts",
    )
    assert status == 0
    for line in ("srpms", "seven", "yes", 'export MAVEN_OPTS="-Xmx1g"'):
        assert line in output.splitlines()
    assert buildroot.root("hostname").strip() in output
    assert buildroot.root("cat /etc/resolv.conf") in buildroot.root(
        f"cat {buildroot.path}/root/etc/resolv.conf"
    )


@pytest.mark.parametrize("words", [("--unpriv", "--chroot"), ("--chroot",)])
def test_a_command_has_the_devices_that_it_expects(make: Maker, words: tuple[str, ...]) -> None:
    buildroot = make().initialise()
    script = """set -e
    echo to stdout > /dev/stdout; echo to stderr > /dev/stderr; cat <(echo by a pipe)
    head -c 4 /dev/urandom > /dev/null; touch /dev/shm/x; ! read -t 1 line
    test -r /proc/self/status; test -d /sys/class; : > /proc/self/comm"""
    status, output = buildroot.mock(*words, "--", "bash", "-c", script)
    assert status == 0, output
    for line in ("to stdout", "to stderr", "by a pipe"):
        assert line in output.splitlines()
        assert line in buildroot.log("root").splitlines()


def test_a_narrow_architecture_has_its_personality(make: Maker) -> None:
    buildroot = make().initialise()
    assert "i686" in buildroot.mock("--arch", "i686", "--chroot", "uname -m")[1]
    assert "x86_64" in buildroot.mock("--chroot", "uname -m")[1]


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


@pytest.mark.parametrize("networking", [False, True])
def test_a_build_has_a_network_only_if_it_is_to_have_one(make: Maker, networking: bool) -> None:
    buildroot = make(use_host_resolv=networking).initialise()
    for words in (("--unpriv", "--chroot"), ("--chroot",)):
        interfaces = buildroot.mock(*words, "tail -n +3 /proc/net/dev | cut -d: -f1")[1].split()
        assert ("eth0" in interfaces) == networking
        listen = "exec 3<>/dev/tcp/127.0.0.1/9; true"
        assert "Connection refused" in buildroot.mock(*words, "--", "bash", "-c", listen)[1]


def test_other_drivers_take_the_place_of_ours(make: Maker) -> None:
    buildroot = make()
    driver = "#!/bin/sh\\necho $0 $(id -u) $SUDO_UID $@"
    buildroot.root(
        f"printf '{driver}' > /opt/mock; chmod +x /opt/mock; ln -s /opt/mock /etc/mock/driver"
    )
    try:
        said = buildroot.mock("--init")[1].split()
    finally:
        buildroot.root("rm /etc/mock/driver")
    uid = buildroot.root("id -u kojibuilder").strip()
    assert said == ["/etc/mock/driver", "0", uid, "-r", f"koji/{buildroot.name}", "--init"]


# How it ends.


def test_a_build_that_takes_too_long_is_ended(make: Maker) -> None:
    buildroot = make(rpmbuild_timeout=2).initialise()
    status, _ = buildroot.mock("--no-clean", "--rebuild", f"{SRPMS}/slow-1.0-1.src.rpm")
    assert status == 11
    assert "took longer than 2 s" in buildroot.log("build")


@pytest.mark.parametrize("signal", ["INT", "TERM", "KILL"])
@pytest.mark.parametrize("whom", ["first", "all"])
def test_cancelled_it_leaves_no_process_and_no_mount(make: Maker, signal: str, whom: str) -> None:
    """kojid signals every descendant, the deepest first. `make` looks at what is left."""
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


# What nobody in a chroot may do.


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
    found = f"grep --text --files-with-matches root: {buildroot.path}/result/* || true"
    assert buildroot.root(found) == ""


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
        assert (status, "the chroot is not as it should be" in output) == (20, True)


def test_a_link_does_not_lead_dnf_to_write_outside(make: Maker) -> None:
    buildroot = make().initialise()
    buildroot.root("mkdir -p /srv/outside")
    buildroot.root(
        f"cd {buildroot.path}/root; rm -rf var/log var/cache; ln -s /srv/outside var/log;"
        " ln -s /srv/outside var/cache; rm -rf usr/share/misc; ln -s /srv/outside usr/share/misc"
    )
    buildroot.mock("--install", "gcc")
    assert buildroot.root("find /srv/outside") == "/srv/outside\n"


def test_sources_that_lead_out_of_the_chroot_are_not_read(make: Maker) -> None:
    buildroot = make().initialise()
    checkout = f"{buildroot.path}/root/chroot_tmpdir/scmroot/x"
    buildroot.root(f"mkdir -p {checkout} && ln -s /etc/hostname {checkout}/x.spec")
    words = ("--no-clean", "--buildsrpm", "--spec", f"{checkout}/x.spec", "--sources", checkout)
    assert buildroot.mock(*words)[0] == 40
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
        assert (status != 0, answer in output) == (True, True), output
    effective = buildroot.mock("--chroot", "grep CapEff /proc/self/status")[1]
    capabilities = int(effective.split("CapEff:")[1].split()[0], 16)
    assert not capabilities & (1 << 21)  # CAP_SYS_ADMIN
    assert "NoNewPrivs:\t1" in buildroot.mock("--unpriv", "--chroot", "cat /proc/self/status")[1]


# What root does to leave a chroot, in a program, and a package whose scriptlet does it.
CLIMBER = """
#include <fcntl.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
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


def test_root_who_climbs_out_of_a_scriptlet_finds_nothing_to_take_or_break(make: Maker) -> None:
    """rpm itself runs scriptlets, by chroot(2): so dnf sees the builder, but only sees it."""
    buildroot = make(install_group="escape").initialise()
    assert buildroot.root(f"cat {buildroot.path}/root/climbed").splitlines() == [
        "chroot: 0", "outside: 1", "key: 0", "written: 0", "mounted: 0", "remounted: 0",
    ]  # fmt: skip
    # And from a command in the chroot there is no way up at all.
    status, output = buildroot.mock("--chroot", "/climber")
    assert (status, "chroot: 0\noutside: 0\nkey: 0" in output) == (0, True)
    assert "mounted: 0\nremounted: 0" in output
    assert "escaped" not in buildroot.root("ls /var/lib/mock")


def test_only_roots_own_configuration_is_read_and_as_the_caller(make: Maker) -> None:
    buildroot = make()
    configuration = f"/etc/mock/koji/{buildroot.name}.cfg"
    code = "import os; raise SystemExit(f'uid {os.getuid()} {os.geteuid()} {os.getresuid()}')"
    kept = buildroot.root(f"cat {configuration}")
    buildroot.put(configuration, code)
    uid = buildroot.root("id -u kojibuilder").strip()
    status, output = buildroot.mock("--init")
    assert (status, f"uid {uid} {uid} ({uid}, {uid}, {uid})" in output) == (3, True)
    buildroot.put(configuration, kept)
    buildroot.root(f"chown kojibuilder {configuration}")
    status, output = buildroot.mock("--init")
    assert (status, "it must belong to root" in output) == (3, True)
    for name in ("../../tmp/x", "/tmp/x", "koji/../koji/x", ""):
        argv = ["/usr/bin/mock", "-r", name, "--init"]
        assert buildroot.container.exec_run(argv, user="kojibuilder")[0] in (3, 5)


def test_a_directory_that_others_can_write_is_refused(make: Maker) -> None:
    buildroot = make()
    buildroot.root("chmod g+w /var/lib/mock")
    try:
        status, output = buildroot.mock("--init")
    finally:
        buildroot.root("chmod g-w /var/lib/mock")
    assert (status, "hint: chown root: /var/lib/mock" in output) == (20, True)


def test_only_the_group_mock_may_call_it(host: Container) -> None:
    # By way of a shell: what `docker exec` starts itself, it starts with root's rights to do so.
    argv = ["sh", "-c", "exec /usr/bin/mock --check-host"]
    assert host.exec_run(argv, user="nobody")[0] == 126
    assert host.exec_run(argv, user="kojibuilder")[0] == 0
    assert host.exec_run(argv)[0] == 0
    assert (
        host.exec_run(["stat", "-c", "%A %U %G", "/usr/bin/mock"])[1] == b"-rwsr-x--- root mock\n"
    )


# What the container has to allow.


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


def test_nothing_here_was_privileged(host: Container, engine: docker.DockerClient) -> None:
    settings = engine.api.inspect_container(host.id)["HostConfig"]
    assert settings["Privileged"] is False
    assert set(settings["CapAdd"]) == set(CAPABILITIES["cap_add"])
    assert shlex.join(settings["CapDrop"]) == "ALL"
