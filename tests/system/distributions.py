"""A Koji that builds on a distribution made of Debian's packages (tests/debian_distribution)."""

import json
import re
import tarfile
import tempfile
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from koji import canonArch

from nagoya.config.declaration import Declaration
from nagoya.engine import connect, containers
from nagoya.engine.exec import execute
from nagoya.koji.builds import upload
from tests.debian_distribution import cache, tables
from tests.system import building
from tests.system.conftest import Koji

SEED = Path(cache.__file__).parent / "seed.yml"
SCRIPT = Path(__file__).parent / "plain_rpmbuild.sh"
TARGET, BUILD_TAG = "distribution", "distribution-build"
REPOSITORY = "https://koji/kojifiles/distribution"
DEBIAN = {"x86_64": "amd64", "i386": "i386"}
"""Debian's names of Koji's arches."""
UPSTREAMS = {"mock.package_manager": "dnf5", "mock.use_bootstrap": 0}
"""The extra of a tag for which upstream's mock builds, with the builder's dnf."""
RPM_4 = {"rpm.macro._rpmformat": "4"}
"""The extra of a tag with which rpm 6 makes packages that a hub before Koji 1.36 takes."""
SECONDS = 1800
"""When a build is given up; a whole queue of them may be before it."""

# All that an RPM says of its files and its relations, in lines.
QUERY = (
    r"[%{FILENAMES} %{FILEMODES:octal} %{FILEUSERNAME}:%{FILEGROUPNAME} %{FILESIZES}"
    r" %{FILEDIGESTS} %{FILELINKTOS} %{FILECAPS} %{FILEFLAGS:fflags}\n]"
    r"[requires %{REQUIRENEVRS}\n][provides %{PROVIDENEVRS}\n][conflicts %{CONFLICTNEVRS}\n]"
    r"scriptlets %{PREIN} %{POSTIN} %{PREUN} %{POSTUN}\n"
)
DESCRIBE = """
for rpm in "$@"; do
    echo "@ ${rpm##*/}"
    rpm -qp --qf "$QUERY" "$rpm" | sort
done
"""


@dataclass
class DistributionKoji:
    """The Koji, and what tests ask of it. `tasks` are builds that were submitted, by package."""

    koji: Koji
    distribution: Path
    sources: Path
    tasks: dict[str, int] = field(default_factory=dict)

    @cached_property
    def session(self) -> Any:
        return self.koji.session()

    @cached_property
    def manifest(self) -> dict[str, dict[str, str]]:
        """What sources.json holds."""
        return dict(json.loads((self.sources / "sources.json").read_text()))

    def submit(self, name: str, source: str, target: str = TARGET, **options: Any) -> int:
        """Submit a build of a package from its source RPM ("srpm") or from git ("git")."""
        if source == "srpm":
            url = upload(self.session, self._srpm(name))
        else:
            entry = self.manifest[name]
            url = f"git+https://koji/demo/{entry['git']}#{entry['commit']}"
        self.tasks[name] = self.session.build(url, target, options)
        return self.tasks[name]

    def _srpm(self, name: str) -> Path:
        """The source RPM of a package of tests/packages, or of the distribution's own."""
        if name in self.manifest:
            return self.sources / self.manifest[name]["srpm"]
        (path,) = self.distribution.glob(f"{name}-[0-9]*.src.rpm")
        return path

    def finish(self, name: str) -> dict[str, Any]:
        """Wait for the build of a package; it has to end well."""
        task = self.tasks[name]
        state = building.state(self.session, task, SECONDS)
        assert state == "CLOSED", self.koji.toji("logs", "--task", str(task), check=False).stdout
        (build,) = self.session.listBuilds(taskID=task)
        return dict(build)

    def built(self, build: dict[str, Any]) -> dict[str, str]:
        """What the RPMs of a build hold (QUERY), by their file names."""
        folder = "/mnt/koji/packages/{name}/{version}/{release}".format(**build)
        return self._describe(f"{folder}/[!sd]*/*.rpm")

    def rebuilt_plainly(self, build: dict[str, Any], arch: str = "x86_64") -> dict[str, str]:
        """The same of the RPMs that rpmbuild alone makes from Koji's source RPM."""
        folder = "/mnt/koji/packages/{name}/{version}/{release}/src".format(**build)
        # A script on stdin would be read by the programs that it runs.
        command = ["bash", "-c", 'cat >"$0" && exec bash "$0" "$@" </dev/null', "/var/tmp/plain.sh"]
        repository = f"{REPOSITORY}/{canonArch(arch)}/"
        self._in_builder(
            [*command, arch, repository, folder, *tables.BUILDROOT], SCRIPT.read_bytes()
        )
        return self._describe(f"/var/tmp/plain-{arch}/root/builddir/build/RPMS/*.rpm")

    def _in_builder(self, command: list[str], input: bytes | None = None) -> str:
        builder = containers.get(connect(), f"{self.koji.system}-kojibuilder")
        status, output = execute(builder, command, seconds=SECONDS, input=input)
        assert status == 0, output
        return output

    def _describe(self, pattern: str) -> dict[str, str]:
        script = f"QUERY='{QUERY}'; set -- {pattern}; {DESCRIBE}"
        output = self._in_builder(["bash", "-c", script])
        parts = re.split(r"^@ (.*)\n", output, flags=re.MULTILINE)[1:]
        return dict(zip(parts[::2], parts[1::2], strict=True))


def start(
    begin: Callable[..., Koji], declaration: Declaration, form: str, packages: Mapping[str, str],
    more: Collection[str] = (),
) -> DistributionKoji:  # fmt: skip
    """Start a Koji with a form of the distribution, and submit these of tests/packages, each from
    its source RPM ("srpm") or from git ("git"); of `more` it only gets the sources."""
    koji = begin(f"distribution-{form}")
    distribution = serve(koji, declaration, form)
    names = {*packages, *more}
    sources = cache.sources(declaration.containers["kojibuilder"].image, form, names)
    put(koji, "/mnt/koji/demo/git", sources / "git")
    koji.toji("seed", str(SEED))
    site = DistributionKoji(koji, distribution, sources)
    _prepare_tag(site.session, site.manifest)
    assert building.state(site.session, site.session.newRepo(BUILD_TAG), SECONDS) == "CLOSED"
    for name, source in packages.items():
        site.submit(name, source)
    return site


def add_target(
    session: Any, name: str, arches: str = "x86_64", extra: Mapping[str, object] | None = None
) -> None:
    """A target and its build tag, which inherits BUILD_TAG, with a repository."""
    session.createTag(name, parent=BUILD_TAG, arches=arches, extra=extra or {})
    session.createBuildTarget(name, name, "distribution-candidate")
    assert building.state(session, session.newRepo(name), SECONDS) == "CLOSED"


def serve(koji: Koji, declaration: Declaration, form: str, arch: str = "x86_64") -> Path:
    """Let the hub serve a form of the distribution, at REPOSITORY; the folder with it. The arch is
    one of Koji's."""
    image, debian = declaration.containers["kojibuilder"].image, DEBIAN[arch]
    distribution = cache.distribution(image, form, debian)
    put(koji, f"/mnt/koji/distribution/{arch}", distribution)
    return distribution


def put(koji: Koji, path: str, folder: Path) -> None:
    """Copy a folder to the hub."""
    hub = connect().client.containers.get(f"{koji.system}-koji")
    with tempfile.TemporaryFile() as file:
        with tarfile.open(fileobj=file, mode="w") as tar:
            tar.add(folder, path.removeprefix("/mnt/koji/"))
        file.seek(0)
        assert hub.put_archive("/mnt/koji", file)


def _prepare_tag(session: Any, packages: Iterable[str]) -> None:
    """The packages that may be built, and the groups of a buildroot, with those that tests need."""
    with session.multicall() as calls:
        for name in [*packages, "filesystem", "nagoya-release", "rpm-macros", "setup"]:
            calls.packageListAdd("distribution", name, "kojiadmin")
        for group in ("build", "srpm-build"):
            calls.groupListAdd(BUILD_TAG, group)
            for name in [*tables.BUILDROOT, *(["make"] if group == "srpm-build" else [])]:
                calls.groupPackageListAdd(BUILD_TAG, group, name)
