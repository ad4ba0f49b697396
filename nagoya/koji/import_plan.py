"""What to import of some RPMs, given what the hub has. Nothing here asks the hub."""

import re
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from nagoya.koji.hub import koji_module
from nagoya.koji.imports import Candidate
from nagoya.koji.repository import ListedRpm
from nagoya.koji.rpm import Rpm, version_key

_WITHOUT_MD5 = [1, 36]
"""The first Koji that imports RPMs without an MD5 digest."""
_OBJECTIONS = {
    "BUILDING": "belongs to {0}, which is being built on the hub",
    "DELETED": "belongs to {0}, which was deleted on the hub; `koji call resetBuild {0}` makes the "
    "hub forget it, then it can be imported again",
}
"""To builds in these states."""


@dataclass(frozen=True)
class BuildPlan:
    """A build, and those of its RPMs that the hub lacks, the source RPM first. `state` is that of
    the hub's record of it, by Koji's name; None without one."""

    nvr: str
    epoch: int | None
    state: str | None
    rpms: tuple[Candidate, ...]

    @property
    def package(self) -> str:
        """The package that it is a build of."""
        return self.nvr.rsplit("-", 2)[0]


@dataclass
class ImportPlan:
    """Builds, the oldest versions first, and why some RPMs are refused, a line each. `incomplete`
    names the builds that lack these."""

    builds: list[BuildPlan] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    incomplete: set[str] = field(default_factory=set)

    def refuse(self, candidate: Candidate, reason: str) -> None:
        """Note why an RPM is not imported; the reason is a predicate, such as `is damaged`."""
        self.refused.append(f"{candidate.label} {reason}")
        self.incomplete.add(candidate.header.build_nvr)


def plan_import(
    candidates: Sequence[Candidate],
    builds: Mapping[str, Mapping[str, Any] | None],
    rpms: Mapping[str, Mapping[str, Any] | None],
    koji_version: str,
) -> ImportPlan:
    """Plan an import. `builds` are the hub's records of builds by NVR, `rpms` those of RPMs by file
    name; None for what it does not have."""
    plan = ImportPlan()
    possible = []
    for candidate in candidates:
        if reason := objection(candidate.header, koji_version):
            plan.refuse(candidate, reason)
        else:
            possible.append(candidate)
    groups: dict[str, list[Candidate]] = defaultdict(list)
    for candidate in _unambiguous(possible, plan):
        groups[candidate.header.build_nvr].append(candidate)
    states = koji_module().BUILD_STATES
    for nvr, group in groups.items():
        build, new = builds[nvr], []
        state = states[build["state"]] if build else None
        for candidate in sorted(group, key=lambda candidate: candidate.header.arch != "src"):
            record = rpms[candidate.header.file_name]
            if state in _OBJECTIONS:
                plan.refuse(candidate, _OBJECTIONS[state].format(nvr))
            elif record is None or record["external_repo_id"]:
                new.append(candidate)
            elif build is None or record["build_id"] != build["id"]:
                plan.refuse(candidate, "is on the hub as part of another build")
            elif not _same(candidate.header, record):
                plan.refuse(candidate, "is on the hub with other contents")
        main = _main(nvr, group)
        if build and state == "COMPLETE" and (reason := _epoch_objection(nvr, build, main)):
            for candidate in new:
                plan.refuse(candidate, reason)
            new = []
        plan.builds.append(BuildPlan(nvr, main.epoch, state, tuple(new)))
    plan.builds.sort(key=_age)
    return plan


def objection(rpm: Rpm | ListedRpm, koji_version: str) -> str | None:  # noqa: PLR0911
    """Why a hub of that version cannot take an RPM, as far as its header tells."""
    names = rpm.file_name + rpm.source_rpm
    if "/" in names or not names.isprintable():
        return "has names in its header that no file can have"
    if not 0 <= (rpm.epoch or 0) < 1 << 31:
        return f"has the epoch {rpm.epoch}, which no hub can keep"
    if rpm.arch == "nosrc":
        return "is a nosrc RPM; Koji takes source RPMs only with all of their sources (.src.rpm)"
    if rpm.build_nvr.count("-") < 2:
        return f"names a source RPM that is no NAME-VERSION-RELEASE: '{rpm.source_rpm}'"
    if isinstance(rpm, Rpm) and rpm.control_characters:
        return (
            f"has control characters in its {rpm.control_characters}; "
            "createrepo_c makes no repository of a tag with such an RPM"
        )
    version = [int(part) for part in re.findall(r"\d+", koji_version)]
    if isinstance(rpm, Rpm) and not rpm.has_md5 and version < _WITHOUT_MD5:
        return f"is in rpm 6 format, without an MD5 digest, which Koji {koji_version} cannot import"
    return None


def _unambiguous(candidates: Sequence[Candidate], plan: ImportPlan) -> list[Candidate]:
    """One candidate of each name. If there are several with different contents, all are refused."""
    groups: dict[str, list[Candidate]] = defaultdict(list)
    for candidate in candidates:
        groups[candidate.header.file_name].append(candidate)
    accepted = []
    for name, group in groups.items():
        if len({candidate.header.contents for candidate in group}) == 1:
            accepted.append(group[0])
            continue
        for candidate in group:
            plan.refuse(candidate, f"is not the only {name} here, and their contents differ")
    return accepted


def _same(rpm: Rpm | ListedRpm, record: Mapping[str, Any]) -> bool:
    if isinstance(rpm, Rpm):
        return bool(rpm.identity == record["payloadhash"])
    # A repository's list does not have the digest that Koji keeps.
    return bool(rpm.build_time == record["buildtime"])


def _main(nvr: str, group: Collection[Candidate]) -> Rpm | ListedRpm:
    """The RPM whose epoch is the build's; others may have one of their own."""
    name = nvr.rsplit("-", 2)[0]
    return min(
        (candidate.header for candidate in group),
        key=lambda rpm: (rpm.arch != "src", rpm.name != name),
    )


def _epoch_objection(nvr: str, build: Mapping[str, Any], main: Rpm | ListedRpm) -> str | None:
    certain = main.arch == "src" or main.name == nvr.rsplit("-", 2)[0]
    if not certain or (build["epoch"] or 0) == (main.epoch or 0):
        return None
    return (
        f"belongs to a build with the epoch {main.epoch or 0}, "
        f"but the hub has {nvr} with the epoch {build['epoch'] or 0}"
    )


def _age(build: BuildPlan) -> tuple[Any, ...]:
    """Koji takes the build of a package that was tagged last for the latest one."""
    _, version, release = build.nvr.rsplit("-", 2)
    return build.package, build.epoch or 0, version_key(version), version_key(release)
