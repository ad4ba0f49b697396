"""docs/distributions.md: its commands, with the files of docs/examples/distributions.

The distribution made of Debian's packages takes the place of the real ones, so addresses and names of
packages are replaced.
"""

import re
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from nagoya.config.declaration import Declaration
from tests.system import distributions
from tests.system.conftest import Koji

PACKAGES = {
    "almalinux-release": ("nagoya-release", "filesystem", "setup"),
    "centos-stream-release": ("nagoya-release", "filesystem", "setup"),
    "fedora-release-common": ("nagoya-release", "filesystem", "setup"),
    "fedpkg-minimal": (),
    "gcc-c++": (),
    "git-core": ("git",),
    "glibc-minimal-langpack": ("libc-bin",),
    "gnupg2": (),
    "info": (),
    "rpm-build": ("rpm",),
    "shadow-utils": ("passwd",),
    "which": ("debianutils",),
    "xz": ("xz-utils",),
}
"""What the packages of a group are called here, where it is something else."""

SPEC = """\
Name: hello
Version: 1.0
Release: 1%{?dist}
Summary: A greeting
License: MIT
Source: hello-%{version}.tar.gz
BuildRequires: gcc

%description
%{summary}.

%prep
%autosetup

%build
gcc $CFLAGS $LDFLAGS -o hello hello.c

%install
install -D -m 755 hello %{buildroot}%{_bindir}/hello

%files
%{_bindir}/hello
"""


def adapted(seed: str) -> str:
    """A seed for a real distribution, for the one of these tests."""
    documents = list(yaml.safe_load_all(seed))
    for document in documents:
        if document["type"] == "external-repo":
            document["url"] = f"{distributions.REPOSITORY}/$arch/"
        for group in document.get("groups", ()):
            names = [entry["name"] for entry in group["packages"]]
            here = [real for name in names for real in PACKAGES.get(name, (name,))]
            group["packages"] = [{"name": name} for name in here]
    return yaml.safe_dump_all(documents)


@pytest.mark.parametrize(
    ("file", "tag"),
    [
        ("fedora.yml", "f43-site"),
        pytest.param("centos-stream.yml", "c10s-site", marks=pytest.mark.long),
        pytest.param("enterprise-linux.yml", "el9-site", marks=pytest.mark.long),
    ],
)
def test_from_a_spec_file_to_an_rpm(
    checkout: Path, start: Callable[..., Koji], declaration: Declaration, tmp_path: Path,
    file: str, tag: str,
) -> None:  # fmt: skip
    person = start("guide")
    distributions.serve(person, declaration, "short")
    seed = (checkout / "docs/examples/distributions" / file).read_text()
    (tmp_path / file).write_text(adapted(seed))
    (tmp_path / "hello.spec").write_text(SPEC)
    (tmp_path / "hello.c").write_text('#include <stdio.h>\nint main(void) { puts("hello"); }\n')
    with tarfile.open(tmp_path / "hello-1.0.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "hello.c", "hello-1.0/hello.c")

    text = (checkout / "docs/distributions.md").read_text()
    blocks = re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert len(blocks) == 3
    script = "\n".join(blocks).replace("fedora.yml", file).replace("f43-site", tag)
    script = script.replace("nagoya-koji", f"nagoya-{person.system}")
    environment = {"NAGOYA_SYSTEM": person.system}
    person.environment.update(environment)
    person.run("bash", "-euxc", f"cd {tmp_path}\n{script}")

    (rpm,) = tmp_path.glob("hello-1.0-1*.x86_64.rpm")
    session = person.session()
    (build,) = session.listTagged(tag)
    headers = session.getRPMHeaders(
        f"{build['nvr']}.x86_64", headers=["VENDOR", "PACKAGER", "RELEASE"]
    )
    assert headers["VENDOR"] == "Our site"
    assert rpm.name == f"{build['nvr']}.x86_64.rpm"
