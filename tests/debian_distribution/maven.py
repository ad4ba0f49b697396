"""Make a repository of what Maven builds need beside the short form of the distribution.

    python3 -m debian_distribution.maven FOLDER

Runs as root in the builder's image, like convert.py. Debian's packages of Maven's plugins are a
Maven repository too, in /usr/share/maven-repo.
"""

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from . import tables
from .closure import closure, parse_index
from .convert import Apt, convert, in_parallel, rpmbuild, run, shared_folders

PACKAGES = (
    "libmaven-compiler-plugin-java", "libmaven-deploy-plugin-java", "libmaven-install-plugin-java",
    "libmaven-jar-plugin-java", "libmaven-resources-plugin-java", "libsurefire-java", "maven",
    "openjdk-21-jdk-headless",
    # Libraries that the JDK has files for, and Debian's package only recommends.
    "libasound2t64", "libfreetype6", "libharfbuzz0b",
)  # fmt: skip
"""Maven, a compiler, and the plugins that every build of a .jar runs."""

SPEC = f"""\
Name: maven-local
Version: 1
Release: 1
Summary: Maven without a network, with the links of Debian's alternatives
License: MIT
BuildArch: noarch
Requires: {" ".join(PACKAGES)}

%description
%{{summary}}.

%install
mkdir -p %{{buildroot}}/usr/bin
ln -s ../share/maven/bin/mvn %{{buildroot}}/usr/bin/
for name in jar java javac keytool; do
    ln -s ../lib/jvm/java-21-openjdk-amd64/bin/$name %{{buildroot}}/usr/bin/
done

%files
/usr/bin/*
"""


def make(output: Path) -> None:
    """Make the repository in an empty folder."""
    suite, more = tables.FORMS["short"]
    wanted = [*tables.BUILDROOT, *more]
    short = [name for name in wanted if name not in tables.OWN_PACKAGES]
    with tempfile.TemporaryDirectory() as directory:
        work = Path(directory)
        apt = Apt(work, "amd64", suite)
        (index,) = (work / "lists").glob("*_Packages*")
        archive = parse_index(apt("/usr/lib/apt/apt-helper", "cat-file", str(index)))
        present = closure(archive, short, tables.LEFT_OUT)
        packages = closure(archive, [*short, *PACKAGES], tables.LEFT_OUT)
        missing = [package for name, package in packages.items() if name not in present]
        debs = work / "debs"
        debs.mkdir()
        apt("apt-get", "--quiet", "download", *(package.name for package in missing), cwd=debs)
        files = {path.name.partition("_")[0]: path for path in debs.iterdir()}
        shared = shared_folders()
        in_parallel(lambda package: convert(package, files[package.name], output, shared), missing)
        path = work / "maven-local.spec"
        path.write_text(SPEC)
        rpmbuild("-bb", path, work, "noarch", f"_rpmdir {output}")
    run(["createrepo_c", "--quiet", str(output)])


def main(argv: Sequence[str]) -> int:
    """See above."""
    (folder,) = argv
    Path(folder).mkdir(parents=True)
    make(Path(folder))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
