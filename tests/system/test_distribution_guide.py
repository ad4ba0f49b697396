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
    person.toji("seed", str(checkout / "docs/examples/distributions/policy.yml"))
    assert_the_policy_holds(person, tag, build["nvr"])
    assert_git_builds(person, text.replace("f43-site", tag), declaration, tmp_path)
    nvrs = {each["nvr"] for each in session.listTagged(tag)}
    assert nvrs == {build["nvr"], build["nvr"].replace("hello-1.0-1", "hello-1.0-2")}


def assert_git_builds(person: Koji, text: str, declaration: Declaration, folder: Path) -> None:
    """A server of git repositories on the builder takes the place of git.example.com."""
    (settings,) = re.findall(r"^```yaml\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    settings = settings.replace("extends: nagoya", f"extends: {declaration.path}")
    (folder / "moromi.yml").write_text(settings.replace("git.example.com", "localhost"))
    (command,) = re.findall(r"^    (koji .* \"git\+https.*\")$", text, re.MULTILINE)
    command = command.replace("git+https://git.example.com", "git://localhost")
    builder = f"{person.system}-kojibuilder"
    script = f"""cd {folder}
toji -c moromi.yml up
sed -i 's/^Release: 1/Release: 2/' hello.spec
docker exec {builder} mkdir -p /srv/packages/hello
tar -c hello.spec hello-1.0.tar.gz | docker exec -i {builder} tar -xC /srv/packages/hello
docker exec -w /srv/packages/hello {builder} sh -ec '
    git init --quiet --initial-branch=main && git add --all
    git -c user.name=x -c user.email=x@example.com commit --quiet --message x
    git clone --quiet --bare . ../hello.git'
docker exec -d {builder} git daemon --export-all --base-path=/srv
{command.replace("nagoya-koji", f"nagoya-{person.system}")}
"""
    run = person.run("bash", "-euxc", script, check=False)
    assert run.status == 0, run.stdout + run.stderr


def assert_the_policy_holds(person: Koji, tag: str, nvr: str) -> None:
    """A user gives a build the tag of its target, and changes no other."""
    person.toji("user", "alice")
    certificate = Path(person.description["certificate"]).with_name("alice.pem")
    alice, session = person.session(certificate=certificate), person.session()
    session.createTag("other")
    session.packageListAdd("other", "hello", "kojiadmin")
    with pytest.raises(koji.ActionNotAllowed, match="only administrators do this"):
        alice.tagBuild("other", nvr)
    with pytest.raises(koji.ActionNotAllowed, match="only administrators do this"):
        alice.untagBuild(tag, nvr)
    session.untagBuild(tag, nvr)
    alice.tagBuild(tag, nvr)
