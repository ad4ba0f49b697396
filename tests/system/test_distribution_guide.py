"""docs/distributions.md: its commands, with the files of docs/examples/distributions.

The distribution made of Debian's packages takes the place of the real ones, so addresses and names
of packages are replaced.
"""

import re
import tarfile
from collections.abc import Callable
from pathlib import Path

import koji
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
    "rpm-build": ("file", "rpm"),
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
BuildArch: noarch
BuildRequires: make

%description
%{summary}.

%prep
%autosetup

%install
%make_install

%files
%{_bindir}/hello
"""

MAKEFILE = """\
install:
	mkdir -p $(DESTDIR)/usr/bin
	echo 'echo hello' >$(DESTDIR)/usr/bin/hello
"""

TAGS = {
    "fedora.yml": "f43-site",
    "centos-stream.yml": "c10s-site",
    "enterprise-linux.yml": "el9-site",
}


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


@pytest.mark.long
@pytest.mark.parametrize("file", TAGS)
def test_from_a_spec_file_to_an_rpm(
    checkout: Path, start: Callable[..., Koji], declaration: Declaration, tmp_path: Path, file: str
) -> None:
    person = start("guide")
    distributions.serve(person, declaration, "short")
    seed = (checkout / "docs/examples/distributions" / file).read_text()
    (tmp_path / file).write_text(adapted(seed))
    (tmp_path / "hello.spec").write_text(SPEC)
    (tmp_path / "Makefile").write_text(MAKEFILE)
    with tarfile.open(tmp_path / "hello-1.0.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "Makefile", "hello-1.0/Makefile")

    text = (checkout / "docs/distributions.md").read_text()
    blocks = re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert len(blocks) == 2
    tag = TAGS[file]
    script = "\n".join(blocks).replace("fedora.yml", file).replace("f43-site", tag)
    script = script.replace("nagoya-koji", f"nagoya-{person.system}")
    person.environment["NAGOYA_SYSTEM"] = person.system
    run = person.run("bash", "-euxc", f"cd {tmp_path}\n{script}", check=False)
    task = re.findall(r"Created task: (\d+)", run.stdout)[-1]
    assert run.status == 0, run.stderr + person.toji("logs", "--task", task, check=False).stdout

    person.run("bash", "-c", f"cd {tmp_path}; koji -p nagoya-{person.system} download-task {task}")
    session = person.session()
    (build,) = session.listTagged(tag)
    name = f"{build['nvr']}.noarch"
    assert (tmp_path / f"{name}.rpm").exists()
    headers = session.getRPMHeaders(name, headers=["VENDOR"])
    assert headers["VENDOR"] == "Our site"
    assert_only_administrators_untag(person, tag, build["nvr"])


def assert_only_administrators_untag(person: Koji, tag: str, nvr: str) -> None:
    """Whoever may log in tags what was built for the target, and no more."""
    person.toji("user", "alice")
    certificate = Path(person.description["certificate"]).with_name("alice.pem")
    alice = person.session(certificate=certificate)
    with pytest.raises(koji.ActionNotAllowed, match="only administrators tag other builds"):
        alice.untagBuild(tag, nvr)
    person.session().untagBuild(tag, nvr)
    alice.tagBuild(tag, nvr)
