"""Pack this image's own programs as RPMs for the demo's buildroot, without any network.

Runs as root in the koji-builder image, or in a stage of its build that also has gcc. It writes two
RPMs: `demo-buildroot`, with the programs that rpmbuild needs, and `demo-gcc`, a C compiler for
packages that require one. They contain Debian's binaries: enough to try a build, but no
distribution to build on.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

ARCH = os.uname().machine

# Files that no build reads. Sanitizers, LTO and static libraries are most of Debian's gcc, and
# rpm2archive alone would bring in libicu, a quarter of the total.
EXCLUDED = (
    "/usr/share/doc/*", "/usr/share/man/*", "/usr/share/info/*", "/usr/share/locale/*",
    "/usr/share/lintian/*", "/usr/share/bash-completion/*", "/usr/share/doc-base/*",
    "/usr/share/bug/*", "/usr/share/gcc/python/*", "/etc/init.d/*", "/etc/cron*", "/etc/pam.d/*",
    "/etc/alternatives/*", "/lib/systemd/*", "/lib/udev/*", "*/rmt", "*/rpm2archive", "*/pzstd",
    "*/lib?san*", "*/libubsan*", "*/lto1", "*/lto-wrapper", "*lto-dump*", "*/g++-mapper-server",
    "*gprofng*", "*gp-*", "*gcov*", "*dwp", "*gold", "*/plugin/include/*", "*/sanitizer/*",
    "*/libc.a", "*/libm-*.a", "*/libmvec.a", "*/libquadmath.a", "*/libgomp.a", "*/libitm.a",
)  # fmt: skip


@dataclass(frozen=True)
class Recipe:
    """An RPM to make: the Debian packages whose files it contains, and its Provides."""

    name: str
    summary: str
    debian: tuple[str, ...]
    provides: tuple[str, ...]
    requires: tuple[str, ...] = ()
    macros: str = ""


BUILDROOT = Recipe(
    "demo-buildroot",
    "What rpmbuild needs, from the programs of the builder image",
    ("bash", "bzip2", "coreutils", "cpio", "debianutils", "diffutils", "file", "findutils", "gawk",
     "grep", "gzip", "hostname", "libc-bin", "libmagic-mgc", "make", "mawk", "passwd",
     "patch", "procps", "rpm", "rpm-common", "rpm2cpio", "debugedit", "sed", "tar", "unzip",
     "util-linux", "xz-utils", "zstd"),
    ("/bin/bash", "/bin/sh", "/usr/bin/bash", "/usr/bin/env", "/usr/bin/sh", "bash", "bzip2",
     "coreutils", "cpio", "diffutils", "file", "filesystem", "findutils", "gawk", "glibc",
     "glibc-common", "grep", "gzip", "hostname", "info", "make", "patch", "redhat-rpm-config",
     "rpm", "rpm-build", "sed", "setup", "shadow-utils", "system-release", "tar", "unzip",
     "util-linux", "which", "xz", "zstd", "rtld(GNU_HASH)",
     # Those of PLAIN_FILES; rpm 4.20 makes packages require the owners of their files.
     "user(root)", "user(nobody)", "group(root)", "group(tty)", "group(users)", "group(nobody)"),
    # rpm 4.20 makes packages with debugging symbols unasked, which takes elfutils.
    macros="%_dbpath %{_var}/lib/rpm\n%dist .demo\n%debug_package %{nil}\n",
)  # fmt: skip
GCC = Recipe(
    "demo-gcc",
    "A C compiler, from the programs of the builder image",
    ("binutils", "binutils-common", "binutils-*-linux-gnu", "cpp", "cpp-*", "gcc", "gcc-*",
     "libc-dev-bin", "libc6-dev", "libgcc-*-dev", "linux-libc-dev"),
    ("/usr/bin/cc", "/usr/bin/gcc", "binutils", "cpp", "gcc", "glibc-devel", "glibc-headers",
     "kernel-headers"),
    ("demo-buildroot",),
)  # fmt: skip

# Files that Debian's maintainer scripts or the machine itself would generate.
PLAIN_FILES = {
    "etc/group": "root:x:0:\ntty:x:5:\nusers:x:100:\nnobody:x:65534:\n",
    "etc/passwd": "root:x:0:0:root:/root:/bin/bash\n"
    "nobody:x:65534:65534:nobody:/:/usr/sbin/nologin\n",
    "etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
    "etc/profile": "export PATH=/usr/bin:/bin:/usr/sbin:/sbin\n",
    "etc/shells": "/bin/bash\n/bin/sh\n",
    "etc/os-release": 'ID=nagoya-demo\nNAME="Nagoya demo"\nVERSION_ID=1\n',
}
LINKS = {
    "bin": "usr/bin", "sbin": "usr/sbin", "lib": "usr/lib", "lib64": "usr/lib64",
    "usr/bin/sh": "bash", "usr/bin/awk": "gawk",
}  # fmt: skip


def debian_files(patterns: Iterable[str]) -> list[str]:
    """The files of the installed Debian packages that match, as dpkg lists them."""
    listed = subprocess.run(
        ["dpkg-query", "--show", "--showformat=${db:Status-Abbrev}${binary:Package}\n", *patterns],
        check=False, capture_output=True, text=True,
    ).stdout  # fmt: skip
    packages = [line[3:].strip() for line in listed.splitlines() if line.startswith("ii")]
    if not packages:
        return []
    lines = subprocess.run(
        ["dpkg", "--listfiles", *packages], check=True, capture_output=True, text=True
    ).stdout.splitlines()
    files = {line for line in lines if line.startswith("/") and not Path(line).is_dir()}
    return sorted(f for f in files if not is_excluded(f))


def is_excluded(file: str) -> bool:
    """Whether a file matches EXCLUDED."""
    return any(fnmatch(file, pattern) for pattern in EXCLUDED)


def libraries(files: Iterable[str]) -> set[str]:
    """The shared libraries that these programs load, and the loader."""
    programs = [f for f in files if Path(f).is_file() and is_elf(Path(f))]
    out = subprocess.run(["ldd", *programs], check=False, capture_output=True, text=True).stdout
    words = (word for line in out.splitlines() for word in line.split() if not line.endswith(":"))
    return {word for word in words if word.startswith("/")}


def is_elf(path: Path) -> bool:
    """Whether a file is a program or a library."""
    with path.open("rb") as file:
        return file.read(4) == b"\x7fELF"


def resolve_parent(path: Path) -> Path:
    """Resolve the links in a path's directories (/bin, /lib), but not the path's own link."""
    return path.parent.resolve() / path.name


def gather(recipe: Recipe, already: set[Path]) -> set[Path]:
    """The files of a recipe, with the targets of links, without those that another RPM owns."""
    files = [f for f in debian_files(recipe.debian) if os.path.lexists(f)]
    wanted: set[Path] = set()
    waiting = [resolve_parent(Path(f)) for f in {*files, *libraries(files)}]
    while waiting:
        path = waiting.pop()
        if path in wanted or path in already:
            continue
        wanted.add(path)
        if path.is_symlink():
            target = resolve_parent(path.parent / path.readlink())
            if target.is_file() and not is_excluded(str(target)):
                waiting.append(target)
    return wanted


def stage(tree: Path, files: Iterable[Path]) -> None:
    """Copy files into a tree, at the same paths."""
    for path in files:
        target = tree / path.relative_to("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, target, follow_symlinks=False)


def complete(tree: Path, recipe: Recipe) -> None:
    """Add what makes the tree a system: links, users, a locale, macros, empty directories."""
    for name, target in LINKS.items():
        path = tree / name
        path.unlink(missing_ok=True)
        path.symlink_to(target)
    if Path("/usr/lib/locale/C.utf8").is_dir():
        stage(tree, [p for p in Path("/usr/lib/locale/C.utf8").rglob("*") if p.is_file()])
    for name, text in PLAIN_FILES.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text(text)
    (tree / "etc/rpm").mkdir(exist_ok=True)
    (tree / "etc/rpm/macros.demo").write_text(recipe.macros)
    for name in ("home", "mnt", "opt", "root", "run", "srv", "tmp", "var/cache", "var/lib/rpm",
                 "var/log", "var/tmp"):  # fmt: skip
        (tree / name).mkdir(parents=True, exist_ok=True)
        (tree / name).chmod(0o1777 if name.endswith("tmp") else 0o755)


def file_list(tree: Path) -> str:
    """The %files of a tree: files, links, and directories that are empty or not of mode 755."""
    lines = []
    for directory, names, files in os.walk(tree):
        here = Path(directory)
        links = [name for name in names if (here / name).is_symlink()]
        lines += [f'"/{(here / name).relative_to(tree)}"' for name in [*files, *links]]
        mode = here.stat().st_mode & 0o7777
        if here != tree and (mode != 0o755 or not (names or files)):
            lines.append(f'%dir %attr({mode:o}, root, root) "/{here.relative_to(tree)}"')
    return "\n".join(sorted(lines))


def spec(recipe: Recipe, tree: Path) -> str:
    """A spec that packs a tree unchanged: no generated dependencies, no stripping."""
    return "\n".join([
        "%global __os_install_post %{nil}",
        "%global __check_files %{nil}",
        "%global debug_package %{nil}",
        f"Name: {recipe.name}",
        "Version: 12",
        "Release: 1",
        f"Summary: {recipe.summary}",
        "License: GPL-2.0-or-later AND others, as Debian's packages say",
        "AutoReqProv: no",
        *(f"Provides: {name}" for name in recipe.provides),
        *(f"Requires: {name}" for name in recipe.requires),
        "%description",
        "Programs of the builder image, so that a first package can be built without any network.",
        "%install",
        f"cp -al '{tree}/.' %{{buildroot}}/",
        "%files",
        "%defattr(-, root, root)",
        file_list(tree),
        "",
    ])  # fmt: skip


def pack(recipe: Recipe, tree: Path, work: Path, output: Path) -> Path:
    """Pack a staged tree as an RPM, and return its path. zstd, since chroots unpack it often.

    HOME is the work directory, so that no ~/.rpmmacros is read.
    """
    (work / f"{recipe.name}.spec").write_text(spec(recipe, tree))
    subprocess.run(
        ["rpmbuild", "-bb", "--quiet", "--define", f"_topdir {work}/top",
         "--define", f"_rpmdir {output}", "--define", "_binary_payload w9.zstdio",
         "--define", "_dbpath %{_topdir}/db", "--define", "_build_id_links none",
         "--define", "_rpmfilename %%{NAME}-%%{VERSION}-%%{RELEASE}.%%{ARCH}.rpm",
         "--define", "vendor Nagoya", "--define", "packager Nagoya", "--define",
         "distribution Nagoya demo", str(work / f"{recipe.name}.spec")],
        check=True, env={**os.environ, "HOME": str(work)},
    )  # fmt: skip
    return output / f"{recipe.name}-12-1.{ARCH}.rpm"


def main(argv: list[str] | None = None) -> int:
    """Write the RPMs into the directory that is named, and print their paths."""
    arguments = sys.argv[1:] if argv is None else argv
    if len(arguments) != 1:
        print("usage: buildroot.py DIRECTORY", file=sys.stderr)
        return 2
    output = Path(arguments[0]).resolve()
    output.mkdir(parents=True, exist_ok=True)
    owned: set[Path] = set()
    with tempfile.TemporaryDirectory(dir=output) as directory:
        work = Path(directory)
        for recipe in (BUILDROOT, GCC):
            if recipe is GCC and not shutil.which("gcc"):
                print("buildroot.py: no gcc here, so skipping demo-gcc", file=sys.stderr)
                continue
            tree = work / recipe.name
            files = gather(recipe, owned)
            stage(tree, files)
            if recipe is BUILDROOT:
                complete(tree, recipe)
            owned |= files
            print(pack(recipe, tree, work, output))
    return 0


if __name__ == "__main__":
    sys.exit(main())
