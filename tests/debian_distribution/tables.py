"""What the distribution contains, and what Debian does by other means than a package's files."""

from collections.abc import Mapping

BUILDROOT = (
    "bash", "bzip2", "coreutils", "cpio", "debianutils", "diffutils", "file", "filesystem",
    "findutils", "gawk", "grep", "gzip", "hostname", "libc-bin", "nagoya-release", "passwd",
    "patch", "procps", "redhat-rpm-config", "rpm", "sed", "setup", "tar", "unzip", "util-linux",
    "xz-utils", "zstd",
)  # fmt: skip
"""The packages of every buildroot, as a comps group names them."""

SHORT = (
    "autoconf", "automake", "binutils", "ca-certificates", "debugedit", "elfutils", "gcc", "git",
    "libc6-dev", "libtool", "m4", "make", "perl", "pkgconf",
    "python3", "python3-installer", "python3-packaging", "python3-setuptools", "python3-wheel",
)  # fmt: skip
"""What the packages need that are built in `make test`; with the buildroot's, Debian's names."""

LONG = (
    "bison", "check", "cmake", "dbus", "dwz", "flex", "flit", "g++", "gettext", "golang-go",
    "gperf", "groff-base", "libb-cow-perl", "libdbus-1-dev", "libglib2.0-dev", "libgtest-dev",
    "libhttp-message-perl", "libio-socket-ip-perl", "libmodule-build-tiny-perl", "libncurses-dev",
    "libpopt-dev", "libreadline-dev", "libsystemd-dev", "libtest-needs-perl", "meson",
    "ninja-build", "python3-dev", "python3-hatch-vcs", "python3-hatchling", "python3-pytest",
    "systemd-dev", "zlib1g-dev",
)  # fmt: skip
"""What the others need, in `make test-distribution`."""

NEWER = (
    "binutils", "ca-certificates", "debugedit", "dnf", "dnf-plugins-core", "dnf5", "elfutils",
    "gcc", "libc6-dev", "make",
)  # fmt: skip
"""For bootstrap chroots: dnf 4 and dnf5, with an rpm that is newer than the builder's."""

FORMS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "short": ("trixie", SHORT),
    "long": ("trixie", (*SHORT, *LONG)),
    "newer": ("sid", NEWER),
}
"""The forms of the distribution: Debian's suite, and the packages beside the buildroot's."""

OWN_PACKAGES = ("filesystem", "nagoya-release", "redhat-rpm-config", "setup")
"""Those of BUILDROOT that are made from the specs in own/."""

LEFT_OUT = (
    "adduser", "base-files", "base-passwd", "dash", "debconf", "debconf-2.0", "dpkg", "dpkg-dev",
    "init-system-helpers", "install-info", "libc-dev-bin-dbg", "sensible-utils", "ucf",
)  # fmt: skip
"""Debian's own machinery, and what `filesystem` and `setup` replace."""

NOT_PACKED = (
    "/usr/share/doc/*", "/usr/share/info/*", "/usr/share/locale/*", "/usr/share/man/*",
    "/usr/share/lintian/*", "/usr/share/bug/*", "/usr/share/doc-base/*", "/usr/share/menu/*",
    "/usr/share/perl5/Debian/*", "/usr/share/go-*/test/*", "/usr/share/go-*/testdata/*",
)  # fmt: skip
"""Files that no build reads."""

LINKS: Mapping[str, Mapping[str, str]] = {
    "automake": {"usr/bin/aclocal": "aclocal-1.17", "usr/bin/automake": "automake-1.17"},
    "bash": {"usr/bin/sh": "bash"},
    "debianutils": {"usr/bin/which": "which.debianutils"},
    "g++": {"usr/bin/c++": "g++"},
    "gawk": {"usr/bin/awk": "gawk"},
    "gcc": {"usr/bin/cc": "gcc"},
}
"""Links that Debian's alternatives would make, by package."""

PROVIDES: Mapping[str, tuple[str, ...]] = {
    "bash": ("/bin/sh", "/bin/bash"),
    "coreutils": ("/bin/cat", "/bin/cp", "/bin/ln", "/bin/mkdir", "/bin/mv", "/bin/rm"),
    "debianutils": ("which",),
    "dnf-plugins-core": ("python3-dnf-plugins-core",),
    "dnf5": ("dnf5-plugins",),
    "g++": ("gcc-c++",),
    "golang-go": ("golang",),
    "grep": ("/bin/grep",),
    "libc-bin": ("/sbin/ldconfig", "glibc-common"),
    "libc6": ("glibc", "rtld(GNU_HASH)"),
    "libc6-dev": ("glibc-devel", "glibc-headers"),
    "linux-libc-dev": ("kernel-headers",),
    "passwd": ("shadow-utils",),
    "perl": ("perl-interpreter", "perl-devel"),
    "pkgconf": ("pkgconf-pkg-config", "pkgconfig"),
    "procps": ("procps-ng",),
    "rpm": ("rpm-build",),
    "sed": ("/bin/sed",),
    "systemd-dev": ("systemd",),
    "xz-utils": ("xz",),
    "zlib1g-dev": ("zlib-devel",),
}
"""The names that specs use for these, and paths that only the links of a merged /usr make true."""

REQUIRES: Mapping[str, tuple[str, ...]] = {
    "cmake": ("cmake-rpm-macros",),
    "gcc": ("glibc-devel",),
    "golang-go": ("go-rpm-macros",),
    "meson": ("meson-rpm-macros",),
    "perl": ("perl-rpm-macros",),
    "python3-dev": ("pyproject-rpm-macros",),
    "dnf5": ("bash", "ca-certificates", "coreutils"),
    "python3-dnf": ("bash", "ca-certificates", "coreutils", "rpm"),
    "rpm": ("debugedit", "elfutils", "binutils"),
    "systemd-dev": ("systemd-rpm-macros",),
}
"""What comes with a package beside its dependencies."""

SCRIPTLETS: Mapping[str, str] = {
    "ca-certificates": """
%post
for file in /usr/share/ca-certificates/mozilla/*.crt /etc/pki/ca-trust/source/anchors/*; do
    [ ! -f "$file" ] || cat "$file"
done >/etc/ssl/certs/ca-certificates.crt
""",
    "dbus-daemon": """
%pre
getent group messagebus >/dev/null || groupadd --system messagebus
getent passwd messagebus >/dev/null || useradd --system --gid messagebus \\
    --home-dir /nonexistent --no-create-home --shell /usr/sbin/nologin messagebus
""",
    "libc-bin": """
%transfiletriggerin -P 2000000 -- /usr/lib /lib
/usr/sbin/ldconfig
%transfiletriggerpostun -P 2000000 -- /usr/lib /lib
/usr/sbin/ldconfig
""",
    "libc6": """
%post -p <lua>
-- The first package with a library: no shell can run yet.
local folder = "/etc/ld.so.conf.d"
if not posix.stat(folder) then
    posix.mkdir(folder)
end
""",
}
"""What the maintainer scripts and triggers of Debian would do."""

SCRIPTLET_REQUIRES: Mapping[str, tuple[str, ...]] = {
    "ca-certificates": ("Requires(post): bash, coreutils",),
    "dbus-daemon": ("Requires(pre): bash, libc-bin, passwd",),
}
