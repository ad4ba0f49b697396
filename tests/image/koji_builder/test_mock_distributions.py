"""What packages of real distributions ask of a buildroot, and of the rpm that installs them."""

import koji
import pytest
from docker.models.containers import Container

from tests.image.koji_builder.buildroots import DEMO, Maker, put, spec
from tests.image.koji_builder.conftest import COMPS, GROUP
from tests.image.koji_builder.test_planted_links import kojid
from tests.image.tracked import execute

# It owns what is mounted in a buildroot, and /sys has another mode than the kernel's.
FILESYSTEM = spec(
    "filesystem",
    """%install
cd %{buildroot} && mkdir -p proc sys dev/shm run tmp""",
).replace(
    "%files\n",
    """%files
%attr(0555,root,root) %dir /proc
%dir /sys
%dir /dev
%attr(1777,root,root) %dir /dev/shm
%dir /run
%attr(1777,root,root) %dir /tmp
""",
)


def database(name: str, scriptlet: str) -> str:
    """The spec of a package with which the chroot's own rpm has its database elsewhere."""
    body = f"""%install
mkdir -p %{{buildroot}}/etc/rpm %{{buildroot}}/usr/lib/sysimage/rpm
echo '%%_dbpath /usr/lib/sysimage/rpm' > %{{buildroot}}/etc/rpm/macros
%posttrans
{scriptlet}"""
    return spec(name, body, **{"Requires(posttrans)": "demo-buildroot"}).replace(
        "%files\n", "%files\n/etc/rpm/macros\n%dir /usr/lib/sysimage/rpm\n"
    )


# Fedora's rpm makes links to the files that it finds, openSUSE's moves them.
ELSEWHERE = database("elsewhere", "true")
LINKED = database(
    "linked", "ln -sr /var/lib/rpm/* /usr/lib/sysimage/rpm; touch /var/lib/rpm/.migratedb"
)
MOVED = database(
    "moved",
    "cd /var/lib; mv rpm/* /usr/lib/sysimage/rpm; rm -r rpm; ln -s ../../usr/lib/sysimage/rpm rpm",
)

# An rpm that finds nothing, as one that reads no SQLite.
OLD_RPM = spec(
    "old-rpm",
    """%post
printf '#!/bin/sh\\n[ $1 = --eval ]\\n' > /usr/bin/rpm""",
    **{"Requires(post)": "demo-buildroot"},
)

# Accounts that a package makes for its own files, both ways.
ACCOUNTS = spec(
    "accounts",
    """%pre
getent group byhand || groupadd --system byhand
getent passwd byhand || useradd --system --gid byhand --no-create-home byhand
%install
cd %{buildroot} && mkdir -p var/lib/byhand var/lib/declared usr/lib/sysusers.d
echo 'u declared - "Somebody" /var/lib/declared' > %{buildroot}/usr/lib/sysusers.d/accounts.conf""",
    **{"Requires(pre)": "demo-buildroot", "Provides": "user(byhand) group(byhand)"},
).replace(
    "%files\n",
    """%files
%dir %attr(0750,byhand,byhand) /var/lib/byhand
%dir %attr(0750,declared,declared) /var/lib/declared
/usr/lib/sysusers.d/accounts.conf
""",
)

# What scriptlets of all kinds find: /dev, /proc, rpm's own Lua, triggers on files of others.
SCRIPTLETS = spec(
    "scriptlets",
    """%install
mkdir -p %{buildroot}/usr/lib/watched
%pretrans -p <lua>
posix.mkdir("/pretrans")
%post -p /bin/bash
set -e
cat <(echo by a pipe) > /dev/null
echo x | tee /dev/stderr > /dev/stdout
test -e /proc/self/fd/0; head -c 4 /dev/urandom > /dev/null; : > /dev/null
test -s /etc/machine-id
%transfiletriggerin -- /usr/lib/watched
cat > /triggered
%posttrans
echo done > /posttrans""",
    **{"Requires(post)": "demo-buildroot"},
).replace("%files\n", "%files\n%dir /usr/lib/watched\n")
WATCHED = spec(
    "watched",
    "%install\nmkdir -p %{buildroot}/usr/lib/watched\ntouch %{buildroot}/usr/lib/watched/x",
).replace("%files\n", "%files\n/usr/lib/watched/x\n")

# What a build finds. It is written as the unprivileged user, in %check.
CURIOUS = spec(
    "curious",
    """%check
set -x
test -s /etc/machine-id; test "$(wc -c < /etc/machine-id)" = 33
cmp /etc/machine-id /var/lib/dbus/machine-id
test -e /etc/mtab; test -e /etc/fstab
for address in 127.0.0.1 ::1; do getent hosts $address | grep -w localhost.localdomain; done
getent hosts localhost; getent hosts localhost.localdomain
test "$(hostname -f)" = "$(hostname)"
grep -E '^Sig(Blk|Ign|Cgt)' /proc/self/status
ls /proc/self/fd
rpm -q demo-buildroot""",
)

# Version 1 belongs to a module, version 2 to none.
TOOL = spec("tool", "", ModularityLabel="tool:1:1:c0ffee")
NEW_TOOL = spec("tool", "").replace("Version: 1", "Version: 2")
MODULES = """
document: modulemd
version: 2
data:
  name: tool
  stream: "1"
  version: 1
  context: c0ffee
  arch: x86_64
  summary: x
  description: x
  license: {module: [MIT]}
  artifacts: {rpms: ["tool-0:1-1.noarch"]}
"""

# The lists that dnf reads by default have no such file.
KEPT = spec(
    "kept", "%install\nmkdir -p %{buildroot}/usr/share/kept\ntouch %{buildroot}/usr/share/kept/x"
).replace("%files\n", "%files\n/usr/share/kept/x\n")
NEEDY = spec("needy", "", Requires="/usr/share/kept/x")

SPECS = (
    FILESYSTEM, ELSEWHERE, LINKED, MOVED, OLD_RPM, ACCOUNTS, SCRIPTLETS, WATCHED, TOOL, NEW_TOOL,
    KEPT, NEEDY,
)  # fmt: skip
GROUPS = {
    "filesystem": ("filesystem",),
    "elsewhere": ("elsewhere",),
    "linked": ("linked",),
    "moved": ("moved",),
    "old-rpm": ("old-rpm",),
    "accounts": ("accounts",),
    "scriptlets": ("scriptlets", "watched"),
    "needy": ("needy",),
    # Not the name of the module, which dnf would take it for: Koji 1.35 says `install @tools`.
    "tools": ("tool",),
}

MAKE = f"""
repo=/srv/distribution/repos/t/1/x86_64; mkdir -p $repo; cp {DEMO}/rpms/*.rpm $repo
for spec in /tmp/distribution/*.spec; do
    rpmbuild -bb --quiet --define "_rpmdir $repo" --define "_topdir /tmp/top" $spec
done
createrepo_c --quiet --groupfile /tmp/distribution/comps.xml $repo
modifyrepo_c --mdtype=modules /tmp/distribution/modules.yaml $repo/repodata
"""


@pytest.fixture(scope="module")
def distribution(host: Container) -> str:
    """A repository of such packages; its URL for koji.genMockConfig."""
    for number, text in enumerate(SPECS):
        put(host, f"/tmp/distribution/{number}.spec", text)
    groups = ""
    for name, packages in GROUPS.items():
        group = GROUP.format(name=name, package="demo-buildroot")
        more = "".join(
            f'<packagereq type="mandatory">{package}</packagereq>' for package in packages
        )
        groups += group.replace("</packagelist>", f"{more}</packagelist>")
    put(host, "/tmp/distribution/comps.xml", COMPS.format(groups=groups))
    put(host, "/tmp/distribution/modules.yaml", MODULES)
    status, output = execute(host, "bash", "-ec", MAKE)
    assert status == 0, output
    return "file:///srv/distribution"


# As kojid lists a buildroot's packages since Koji 1.32.
NEW_PACKAGES = """
import os, rpm, sys
new = sys.argv[1] + "/root/usr/lib/sysimage/rpm"
rpm.addMacro("_dbpath", new if os.path.exists(new) else sys.argv[1] + "/root/var/lib/rpm")
print(" ".join(sorted(header["name"] for header in rpm.TransactionSet().dbMatch())))
"""


def test_a_package_that_owns_what_is_mounted(make: Maker, distribution: str) -> None:
    buildroot = make(topurls=[distribution], install_group="filesystem").initialise()
    assert "filesystem" in buildroot.packages().split()
    status, output = buildroot.mock("--chroot", "rpm -V filesystem")
    assert (status, output) == (0, output), output
    assert "missing" not in output
    # Again, over a buildroot that is there.
    assert buildroot.mock("--install", "scriptlets")[0] == 0, buildroot.log("root")


@pytest.mark.parametrize("group", ["elsewhere", "linked", "moved"])
def test_an_rpm_database_in_another_place(make: Maker, distribution: str, group: str) -> None:
    buildroot = make(topurls=[distribution], install_group=group).initialise()
    installed = {"demo-buildroot", group}
    for another in ("watched", "tool"):
        status, output = buildroot.mock("--chroot", "rpm -qa --qf '%{name}\\n'")
        assert (status, installed - {*output.split()}) == (0, set()), output
        program = ("python3", "-c", NEW_PACKAGES, buildroot.path)
        assert {*execute(buildroot.container, *program)[1].split()} == installed
        # Another transaction of the builder's dnf finds it, too.
        assert buildroot.mock("--install", another)[0] == 0, buildroot.log("root")
        installed.add(another)
    packages = kojid(buildroot, "print(*(rpm['name'] for rpm in broot.getPackageList()))")
    assert installed <= {*packages.split()}


def test_an_rpm_that_cannot_read_the_database_is_named(make: Maker, distribution: str) -> None:
    buildroot = make(topurls=[distribution], install_group="old-rpm").initialise()
    assert "old-rpm" in buildroot.packages().split()
    assert "rpm cannot read the database that the builder's rpm has written" in buildroot.log(
        "root"
    )
    assert "cannot read the database" not in make().initialise().log("root")


def test_accounts_of_packages_own_their_files(make: Maker, distribution: str) -> None:
    buildroot = make(topurls=[distribution], install_group="accounts").initialise()
    listing = "stat -c '%n %U %G %a' /var/lib/byhand /var/lib/declared"
    assert buildroot.mock("--chroot", listing)[1].split("\n")[1:3] == [
        "/var/lib/byhand byhand byhand 750",
        "/var/lib/declared declared declared 750",
    ], buildroot.log("root")


def test_scriptlets_of_all_kinds_run(make: Maker, distribution: str) -> None:
    buildroot = make(topurls=[distribution], install_group="scriptlets").initialise()
    root = buildroot.log("root")
    assert "scriptlet failed" not in root, root
    listing = buildroot.root(f"cd {buildroot.path}/root; ls -d pretrans posttrans; cat triggered")
    assert listing.split() == ["posttrans", "pretrans", "/usr/lib/watched/x"], root


def test_a_build_finds_what_a_machine_has(make: Maker) -> None:
    buildroot = make().initialise()
    srpm = buildroot.srpm(CURIOUS)
    status, output = buildroot.mock("--no-clean", "--target", "noarch", "--rebuild", srpm)
    log = buildroot.log("build")
    assert status == 0, output + log
    lines = log.splitlines()
    masks = dict(line.split("\t") for line in lines if line.startswith("Sig"))
    # Signals 32 and 33 are libc's own; some engines ignore one.
    assert int(masks["SigIgn:"], 16) & ~(0b11 << 31) == 0, masks
    assert int(masks["SigBlk:"], 16) == 0, masks
    at = lines.index("+ ls /proc/self/fd")
    assert lines[at + 1 : at + 5] == ["0", "1", "2", "3"]  # 3 is the folder itself
    # The build's host is this one, and not `localhost`.
    name = buildroot.root("hostname").strip()
    rpm = f"{buildroot.path}/result/curious-1-1.noarch.rpm"
    assert buildroot.root(f"rpm -qp --qf '%{{buildhost}}' {rpm}") == name


def test_each_buildroot_has_a_machine_id_of_its_own(make: Maker) -> None:
    first, second = (make().initialise() for _ in range(2))
    read = "cat {}/root/etc/machine-id"
    assert first.root(read.format(first.path)) != second.root(read.format(second.path))


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"package_manager": "dnf5"}, "mock.package_manager=dnf5"),
        ({"bootstrap_image": "registry.example.com/image"}, "mock.bootstrap_image"),
    ],
)
def test_what_needs_another_mock_is_refused(
    ours_alone: None, make: Maker, options: dict[str, object], name: str
) -> None:
    buildroot = make(**options)
    assert buildroot.mock("--init")[0] == 3
    # kojid's error refers to this log.
    assert f"mock does not support {name}, which the extra of the tag asks for" in buildroot.log(
        "root"
    )


@pytest.mark.parametrize(
    ("options", "tool"),
    [
        ({}, "tool-2-1"),
        ({"module_setup_commands": [["enable", "tool:1"]]}, "tool-1-1"),
        ({"module_setup_commands": [["enable", "tool:1"]], "module_hotfixes": True}, "tool-2-1"),
    ],
)
def test_modules_are_followed(
    make: Maker, distribution: str, options: dict[str, object], tool: str
) -> None:
    buildroot = make(topurls=[distribution], install_group="tools", **options).initialise()
    assert f"{tool}.noarch" in buildroot.log("installed_pkgs").split(), buildroot.log("root")


def test_a_file_that_a_package_requires(make: Maker, distribution: str) -> None:
    """Where packages are installed, and where a build requires it."""
    buildroot = make(topurls=[distribution], install_group="needy").initialise()
    assert "kept" in buildroot.packages().split()
    buildroot = make(topurls=[distribution], install_group="tools").initialise()
    srpm = buildroot.srpm(spec("new", "", BuildRequires="/usr/share/kept/x"))
    assert buildroot.mock("--no-clean", "--rebuild", srpm)[0] == 0, buildroot.log("root")
    assert "kept-1-1.noarch" in buildroot.log("installed_pkgs")


def repackage(arch: str) -> str:
    """A command that makes a repository of the demo's buildroot as a package of that arch."""
    return f"""
repo=/srv/distribution/repos/t/1/{koji.canonArch(arch)}
mkdir -p $repo /tmp/other/tree; cd /tmp/other
rpm2archive -n {DEMO}/rpms/demo-buildroot-*.rpm > demo.tar; tar -xf demo.tar -C tree
cat > demo.spec <<'END'
%global __os_install_post %{{nil}}
%global __check_files %{{nil}}
%global debug_package %{{nil}}
%global _build_id_links none
Name: demo-buildroot
Version: 12
Release: 1
Summary: x
License: x
AutoReqProv: no
Provides: /bin/sh /bin/bash rpm-build
%description
%install
cp -a /tmp/other/tree/. %{{buildroot}}
%files
/*
END
rpmbuild -bb --quiet --target {arch} --define "_rpmdir $repo" --define "_topdir /tmp/top" \
    --define "_binary_payload w1.zstdio" demo.spec
createrepo_c --quiet --groupfile /tmp/comps.xml $repo
rm -r /tmp/other
"""


def test_a_32bit_build(make: Maker, host: Container, distribution: str) -> None:
    status, output = execute(host, "bash", "-ec", repackage("i686"))
    assert status == 0, output
    buildroot = make(arch="i386", target_arch="i686", topurls=[distribution]).initialise()
    assert "demo-buildroot-12-1.i686" in buildroot.log("installed_pkgs")
    narrow = spec("narrow", "%build\nuname -m").replace("BuildArch: noarch\n", "")
    rebuild = ("--no-clean", "--target", "i686", "--rebuild", buildroot.srpm(narrow))
    assert buildroot.mock(*rebuild)[0] == 0, buildroot.log("build")
    assert buildroot.results() == {"narrow-1-1.i686.rpm", "narrow-1-1.src.rpm"}
    assert "i686" in buildroot.log("build").splitlines()


@pytest.mark.parametrize("arch", ["x86_64_v2", "x86_64_v3"])
def test_a_build_for_newer_processors(
    make: Maker, host: Container, distribution: str, arch: str
) -> None:
    """Packages of that arch, which require some of x86_64."""
    put(host, "/tmp/modern.spec", spec("modern", "").replace("BuildArch: noarch\n", ""))
    repo = f"/srv/distribution/repos/t/1/{arch}"
    command = f"""mkdir -p {repo}; cp {DEMO}/rpms/demo-buildroot-*.rpm {repo}
    rpmbuild -bb --quiet --target {arch} --define '_rpmdir {repo}' \\
        --define '_topdir /tmp/top' /tmp/modern.spec
    createrepo_c --quiet --groupfile /tmp/comps.xml {repo}"""
    status, output = execute(host, "bash", "-ec", command)
    assert status == 0, output
    buildroot = make(arch=arch, target_arch=arch, topurls=[distribution]).initialise()
    new = spec("new", "", BuildRequires="modern").replace("BuildArch: noarch\n", "")
    rebuild = ("--no-clean", "--target", arch, "--rebuild", buildroot.srpm(new))
    assert buildroot.mock(*rebuild)[0] == 0, buildroot.log("root") + buildroot.log("build")
    assert f"modern-1-1.{arch}" in buildroot.log("installed_pkgs")
    assert buildroot.results() == {f"new-1-1.{arch}.rpm", "new-1-1.src.rpm"}
