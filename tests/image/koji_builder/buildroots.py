"""A buildroot, calls of mock as kojid makes them, and their results."""

import io
import json
import tarfile
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from docker.models.containers import Container

from tests.image.tracked import execute, execute_as, privileges, wait_until

IMAGE = "koji-builder"
CAPABILITIES = privileges("kojibuilder")
DEMO = "/usr/share/nagoya/demo"
SRPMS = f"{DEMO}/srpms"
UPSTREAM = "/usr/libexec/mock/mock"

# kojid writes its configurations with this very function.
CONFIGURE = """
import json, sys, koji
name, options = sys.argv[1], {"arch": "x86_64", **json.loads(sys.argv[2])}
text = koji.genMockConfig(name, managed=True, repoid=1, tag_name="t", buildroot_id=1,
                          topdir="/mnt/koji", packager="Koji", vendor="Koji",
                          distribution="Test", **options)
with open(f"/etc/mock/koji/{name}.cfg", "w") as file:
    file.write(text)
"""
# How kojid lists installed packages (builder/kojid, getPackageList).
PACKAGES = """
import rpm, sys
rpm.addMacro("_dbpath", sys.argv[1] + "/root/var/lib/rpm")
print(" ".join(sorted(header["name"] for header in rpm.TransactionSet().dbMatch())))
"""
# Every process in the builder that has arguments: {PID: arguments}.
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
    """The processes in a container (PID: arguments), without the one that lists them."""
    output = execute(container, "python3", "-c", PROCESSES)[1]
    commands = {int(number): words for number, words in json.loads(output).items()}
    return {number: words for number, words in commands.items() if PROCESSES.strip() not in words}


@dataclass
class Buildroot:
    """One buildroot, with the calls that kojid makes, and their results."""

    container: Container
    name: str

    @property
    def path(self) -> str:
        return f"/var/lib/mock/{self.name}"

    def mock(self, *words: str) -> tuple[int, str]:
        """Call mock as kojid's child does: as kojibuilder, in its group, by a parent that waits.

        The engine's own parent of a command exits at once, and mock exits with its parent.
        """
        return execute_as("kojibuilder", self.container, *self._argv(words))

    def mock_in_background(self, *words: str) -> int:
        """Start mock, and return its PID."""
        self.container.exec_run(self._argv(words), user="kojibuilder", detach=True)
        return wait_until(lambda: min(self.processes(), default=0), 10, "mock runs")

    def _argv(self, words: tuple[str, ...]) -> list[str]:
        mock = ("/usr/bin/mock", "-r", f"koji/{self.name}")
        return ["sh", "-c", '"$@"; exit $?', "parent", *mock, *words]

    def processes(self) -> dict[int, str]:
        """The processes of mock in this buildroot."""
        mine = f"nagoya/mock -r koji/{self.name} "
        return {n: words for n, words in processes(self.container).items() if mine in words}

    def root(self, command: str) -> str:
        """Run a shell command as root in the builder, and return its output. It must succeed."""
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
        """Make a source RPM of a spec without sources."""
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


class Maker:
    """Makes buildroots with unique names."""

    def __init__(self, container: Container) -> None:
        self.container = container

    def __call__(self, **options: object) -> Buildroot:
        """Configure a buildroot, with options of koji.genMockConfig."""
        name = f"t-{next(NUMBERS)}-1"
        argv = ["python3", "-c", CONFIGURE, name, json.dumps(options)]
        status, output = execute(self.container, *argv)
        assert status == 0, output
        return Buildroot(self.container, name)


def pack_dnf(container: Container) -> str:
    """Pack the builder's own dnf as an RPM there, and return its path."""
    here = Path(__file__)
    put(container, "/opt/dnf/buildroot.py", (here.parents[3] / "demo/buildroot.py").read_text())
    put(container, "/opt/dnf/pack.py", here.with_name("dnf_package.py").read_text())
    status, output = execute(container, "python3", "/opt/dnf/pack.py")
    assert status == 0, output
    return output.split()[-1]


def bootstrap_of(buildroot: Buildroot) -> Buildroot:
    """The bootstrap chroot of a buildroot."""
    return Buildroot(buildroot.container, f"{buildroot.name}-bootstrap")
