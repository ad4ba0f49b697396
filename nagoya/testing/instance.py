"""A running Koji, as tests use it."""

import os
import shutil
import ssl
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nagoya.koji import builds, report, tasks, users
from nagoya.koji.builds import Build
from nagoya.koji.hub import HubConnection, koji_module
from nagoya.koji.profile import ADMIN
from nagoya.system import snapshots
from nagoya.system.system import System


@dataclass(repr=False)
class Koji:
    """A running Koji for one test or several.

    `name` is the system's, as for `toji --system NAME`. `url`, `web_url` and `files_url` are those
    of the hub, of kojiweb and of Koji's top directory. `profile` names the koji client's profile
    for kojiadmin, `profile_file` holds it, and `ca` is the certificate of the authority. `home` is
    a folder whose .koji/ holds the profile and all credentials; nothing is written to the user's
    own ~/.koji. Reports on failures go to `reports`.
    """

    system: System
    hub: HubConnection
    home: Path
    reports: Path

    def __post_init__(self) -> None:
        profile, urls = self.hub.profile, self.hub.profile.urls
        self.name, self.url = self.system.name, urls["hub"]
        self.web_url, self.files_url = urls["web"], urls["files"]
        self.profile, self.profile_file, self.ca = profile.name, profile.config, profile.ca
        self.kept = False
        self._users: set[str] = set()

    def __repr__(self) -> str:
        return f"<Koji {self.name} at {self.url}>"

    @property
    def environment(self) -> dict[str, str]:
        """The environment for a program that is to talk to this Koji: this process's own, with
        HOME (where clients look for .koji/), KOJI_PROFILE, and the variables by which requests,
        curl, git and OpenSSL find a bundle of this Koji's authority and the machine's own."""
        bundle = self.home / "ca-bundle.crt"
        if not bundle.exists():
            system = os.environ.get("SSL_CERT_FILE") or ssl.get_default_verify_paths().cafile
            machine = Path(system).read_text() if system else ""
            bundle.write_text(f"{self.ca.read_text()}\n{machine}")
        variables = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "GIT_SSL_CAINFO", "SSL_CERT_FILE")
        return {
            **os.environ,
            "HOME": str(self.home),
            "KOJI_PROFILE": self.profile,
            **dict.fromkeys(variables, str(bundle)),
        }

    def add_user(self, name: str, *permissions: str) -> Path:
        """Make sure that a user exists, has these permissions and can log in.

        Returns the path of the user's key and certificate, in one file.
        """
        self._users.add(name)
        return users.add(self.system, name, permissions)

    def certificate(self, user: str = ADMIN) -> Path:
        """A user's key and certificate in one file; an unknown user is added."""
        if user != ADMIN and user not in self._users:
            return self.add_user(user)
        return self.hub.profile.certificate(user)

    def session(self, user: str | None = ADMIN) -> Any:
        """A new `koji.ClientSession`, logged in as a user, or not logged in for None; an unknown
        user is added."""
        if user is not None:
            self.certificate(user)
        return self.hub.session(user)

    def cli(
        self, *arguments: str | Path, user: str = ADMIN, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Run the koji client as a user, such as `cli("list-tags")`; its output is captured.

        Raises subprocess.CalledProcessError, with the output as a note, unless `check` is false.
        """
        folder = str(Path(sys.executable).parent)
        program = shutil.which("koji", path=folder) or "koji"
        options = ["-p", self.profile, "--cert", str(self.certificate(user))]
        try:
            return subprocess.run(
                [program, *options, *arguments],
                env=self.environment, capture_output=True, text=True, check=check,
            )  # fmt: skip
        except subprocess.CalledProcessError as error:
            error.add_note(f"{error.stdout}{error.stderr}")
            raise

    def build(self, target: str, source: str | Path, *, scratch: bool = False) -> Build:
        """Build a source RPM (a Path) or from an SCM (a URL, as the builders reach it).

        Raises nagoya.koji.builds.TaskFailed, which ends with the last lines of the task's logs.
        """
        return builds.build(self.hub, target, source, scratch=scratch)

    def wait_for_repo(self, tag: str, nvrs: Sequence[str] = ()) -> dict[str, Any]:
        """Wait until a tag's repository holds some builds, by default all that are tagged now.

        Returns the record of `getRepo`.
        """
        return builds.wait_for_repo(self.hub, tag, nvrs)

    def failed_tasks(self, since: float) -> Iterator[str]:
        """Why each task failed that ended after a time (seconds since the epoch), with the last
        lines of its logs; a task below another one is described with that one."""
        session = self.hub.session()
        query = {"state": [koji_module().TASK_STATES["FAILED"]], "completeAfter": since}
        for info in session.listTasks(query, {"order": "id"}):
            if info["parent"] is None:
                yield tasks.failure_text(session, info["id"])

    def snapshot(self, name: str) -> None:
        """Save the state under a name, for `reset`."""
        snapshots.create_snapshot(self.system, name)

    def reset(self, name: str = snapshots.PRISTINE) -> None:
        """Restore a snapshot; by default the state after the start, before any test.

        It takes a second or two. URLs and certificates stay valid, and so do the sessions of users
        that the snapshot has.
        """
        snapshots.restore_snapshot(self.system, name)
        self._users.clear()

    def report(self, name: str) -> Path:
        """Write a report for a failure, as `toji report` does; the path of the archive."""
        self.reports.mkdir(parents=True, exist_ok=True)
        path = self.reports / f"{name}.tar.gz"
        report.write_report(self.system, path)
        return path

    def keep(self) -> str:
        """Do not remove it at the end; a text that says how to look at it."""
        self.kept = True
        return (
            f"{self.name} is still there: `toji --system {self.name} status`, "
            f"and `toji --system {self.name} remove` to remove it"
        )
