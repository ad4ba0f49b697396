"""Makes this container a builder of the hub's, and starts kojid.

It needs the credentials at /etc/pki/koji, to write to, since it issues its own certificate there
once; the top directory at /mnt/koji, to read; and the hub. Environment variables, with their
defaults:

KOJI_HUB_URL=https://koji/kojihub      the hub; it must show a certificate of that name
KOJI_FILES_URL=https://koji/kojifiles  the top directory as the hub serves it
KOJI_WAIT_SECONDS=60                   how long to wait for the hub
KOJI_BUILDER_NAME=                     the name of the host, its user and its certificate; by
                                       default the container's host name
KOJI_BUILDER_ARCHES=                   what it builds for, such as `x86_64 i686`
KOJI_BUILDER_CHANNELS=                 the channels it is in
KOJI_BUILDER_CAPACITY=                 the weight of tasks that it takes on, more than 1 (one RPM
                                       weighs 1.5 and more)
KOJI_BUILDER_MAXJOBS=10                the number of tasks that it takes on at most
KOJI_BUILDER_SLEEPTIME=1               seconds between two looks for work
KOJI_BUILDER_MINSPACE=2048             MB that have to be free, or it takes no task
KOJI_BUILDER_MOCK=                     the path of another mock than ours, such as upstream's; or
                                       `none` for a builder that makes repositories alone, and
                                       needs no privilege for that
KOJI_BUILDER_PLUGINS=prompt shared_machine
                                       kojid's plugins, by name, from /usr/lib/koji-builder-plugins
                                       or the site's own /usr/local/lib/koji-builder-plugins; these
                                       two are ours, and open with what they are for
KOJI_BUILDER_ALLOWED_SCMS=             where sources may come from, as in kojid.conf:
                                       `host:repository[:use_common[:source_cmd]] …`
KOJI_LOG_LEVEL=INFO                    DEBUG, INFO, WARNING, ERROR

Arches, channels and capacity are the hub's to keep. Where they are set here, each start makes the
hub's record so; where they are not, a new host gets this machine's arch, the channels `default`
and `createrepo` and Koji's capacity of 2, and a known one keeps what `koji edit-host` made of it.

Everything else comes in as /etc/kojid/kojid.conf.d/*.conf (section [kojid]), read at the start in
the order of their names, each winning over this script and over the one before.

Every build starts with a look for work, and so does every step of it; with Koji's 15 s it would
mostly wait. A look costs hub and database together some 15 ms of a processor.
"""

import json
import os
import platform
import re
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from OpenSSL import crypto

from util import entry, files
from util.certificates import Authority, check, is_name
from util.configuration import merged
from util.environment import Environment

CREDENTIALS = Path("etc/pki/koji")
CONFIGURATION = Path("etc/kojid/kojid.conf")
# What was settled here, for registration.py and health.py. Written at every start: its time tells
# which of the hub's records are older than that.
BUILDER = Path("run/koji-builder.json")
BUNDLE = Path("etc/ssl/certs/ca-certificates.crt")
OWN_AUTHORITY = Path("usr/local/share/ca-certificates/koji.crt")

# The users that the credentials volume is made with. A builder of such a name would overwrite
# their certificates.
RESERVED = ("kojihub", "kojidatabase", "kojiadmin", "kojira", "kojiweb")
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
OUR_PLUGINS = ("prompt", "shared_machine")
DEFAULT_CHANNELS = ("default", "createrepo")
MOCK = "/usr/bin/mock"
# What /usr/bin/mock starts in place of our driver, where it is there.
OTHER_MOCK = Path("etc/mock/driver")
NO_MOCK = "none"
PLUGIN_PATH = "/usr/local/lib/koji-builder-plugins:/usr/lib/koji-builder-plugins"

KEEPER = "/usr/lib/nagoya/keeper.py"


@dataclass(frozen=True)
class Settings:
    """What the environment says. None: it does not say."""

    hub: str
    files: str
    patience: float
    name: str
    arches: tuple[str, ...] | None
    channels: tuple[str, ...] | None
    capacity: float | None
    maxjobs: int
    sleeptime: int
    minspace: int
    mock: str
    plugins: tuple[str, ...]
    allowed_scms: str
    log_level: str

    @classmethod
    def read(cls, values: Mapping[str, str], hostname: str) -> Self:
        """Read it. Raises Fatal with every error in it."""
        environment = Environment(values)
        name = environment.text("KOJI_BUILDER_NAME", hostname)
        if not is_name(name):
            environment.wrong("KOJI_BUILDER_NAME", f"{name!r} cannot stand in a certificate")
        elif name in RESERVED:
            environment.wrong("KOJI_BUILDER_NAME", f"{name!r} is a user of Koji's own")
        arches = environment.words("KOJI_BUILDER_ARCHES")
        for arch in arches:
            if not re.fullmatch(r"[A-Za-z0-9_]+", arch):
                environment.wrong("KOJI_BUILDER_ARCHES", f"{arch!r} is no arch")
        scms = environment.text("KOJI_BUILDER_ALLOWED_SCMS", "")
        for scm in scms.split():
            if ":" not in scm.strip(":"):
                environment.wrong(
                    "KOJI_BUILDER_ALLOWED_SCMS", f"{scm!r} is not host:repository, as kojid needs"
                )
        mock = environment.text("KOJI_BUILDER_MOCK", "")
        if mock not in ("", NO_MOCK) and not os.access(mock, os.X_OK):
            environment.wrong("KOJI_BUILDER_MOCK", f"{mock!r} is no program in this container")
        level = environment.text("KOJI_LOG_LEVEL", "INFO").upper()
        if level not in LEVELS:
            environment.wrong("KOJI_LOG_LEVEL", f"{level!r} is none of {', '.join(LEVELS)}")
        capacity = environment.number("KOJI_BUILDER_CAPACITY", 0)
        if environment.text("KOJI_BUILDER_CAPACITY", "") and capacity <= 1:
            environment.wrong("KOJI_BUILDER_CAPACITY", "Koji's database wants more than 1")
        settings = cls(
            hub=environment.url("KOJI_HUB_URL", "https://koji/kojihub"),
            files=environment.url(
                "KOJI_FILES_URL", "https://koji/kojifiles", schemes=("https", "http")
            ),
            patience=environment.seconds("KOJI_WAIT_SECONDS", 60),
            name=name,
            arches=arches or None,
            channels=environment.words("KOJI_BUILDER_CHANNELS") or None,
            capacity=capacity or None,
            maxjobs=environment.integer("KOJI_BUILDER_MAXJOBS", 10, minimum=1),
            sleeptime=environment.integer("KOJI_BUILDER_SLEEPTIME", 1, minimum=1),
            minspace=environment.integer("KOJI_BUILDER_MINSPACE", 2048, minimum=0),
            mock=mock,
            plugins=environment.words("KOJI_BUILDER_PLUGINS", OUR_PLUGINS),
            allowed_scms=scms,
            log_level=level,
        )
        environment.check()
        return settings


def own_certificate(folder: Path, name: str) -> None:
    """See to it that `name` has a certificate in `folder`: one that is in force, once."""
    if not (folder / files.MARKER).exists():
        raise entry.Fatal(
            f"there are no credentials at {folder}",
            hint="run koji-credentials-volume first, and then this image with "
            "`--volumes-from kojicreds:rw`",
        )
    if (folder / f"certs/{name}.crt").exists():
        try:
            check(folder, name)
            return
        except entry.Fatal as refusal:
            entry.log(f"{refusal}; making another")
    try:
        Authority.load(folder).issue(name, client=True)
    except OSError as error:
        raise entry.Fatal(
            f"cannot write a certificate to {folder}: {error.strerror}",
            hint="mount it to be written to: `--volumes-from kojicreds:rw`",
        ) from error
    entry.log(f"made the certificate of {name}")


def trust(root: Path, authority: Path) -> None:
    """Let every program here trust the instance's authority: dnf, git and curl know nothing of
    kojid's own setting, and fetch from the hub all the same.

    It does what update-ca-certificates would do in a second of its time, and leaves that the
    file that it looks for. A container of an image that was made of a builder trusts another
    instance's authority, which then is trusted no more.
    """
    pem = authority.read_text()
    own = root / OWN_AUTHORITY
    former = own.read_text() if own.exists() else pem
    bundle = was = (root / BUNDLE).read_text()
    if former != pem:
        bundle = bundle.replace(former, "")
        _hashed(root, former).unlink(missing_ok=True)
    if pem not in bundle:
        bundle += pem
    if bundle != was:
        files.write(root / BUNDLE, bundle)
    files.write(_hashed(root, pem), pem)
    # Last: until then it tells of the one that has to go.
    files.write(own, pem)


def _hashed(root: Path, pem: str) -> Path:
    """Where OpenSSL looks for an authority in a folder."""
    certificate = crypto.load_certificate(crypto.FILETYPE_PEM, pem.encode())
    return root / BUNDLE.parent / f"{certificate.subject_name_hash():08x}.0"


def choose_mock(root: Path, mock: str) -> None:
    """Let kojid's mock be ours, or the site's. Raises Fatal if it cannot work in here."""
    link = root / OTHER_MOCK
    link.unlink(missing_ok=True)
    if mock == NO_MOCK:
        return
    if mock:
        link.symlink_to(mock)
        return
    checked = subprocess.run([MOCK, "--check-host"], check=False, capture_output=True, text=True)
    if checked.returncode:
        raise entry.Fatal(
            f"no RPM can be built in this container: {checked.stderr.strip()}",
            hint="or, for a builder that makes repositories alone: KOJI_BUILDER_MOCK=none",
        )


def kojid_options(settings: Settings) -> dict[str, dict[str, str]]:
    """kojid.conf. Koji's defaults are not repeated."""
    return {
        "kojid": {
            "server": settings.hub,
            "topurl": settings.files,
            "topdir": "/mnt/koji",
            "cert": f"/{CREDENTIALS}/{settings.name}.pem",
            "serverca": f"/{CREDENTIALS}/koji_ca_cert.crt",
            "maxjobs": str(settings.maxjobs),
            "sleeptime": str(settings.sleeptime),
            "minspace": str(settings.minspace),
            "allowed_scms": settings.allowed_scms,
            "log_level": settings.log_level,
            "pluginpath": PLUGIN_PATH,
            "plugins": " ".join(settings.plugins),
            # How long the stronger of two builders has the first choice of a task. Koji's 300 s
            # suit 15 s between two looks; here they would be spent waiting for a host that was
            # killed, and that the hub takes to be alive until five minutes have passed.
            "task_avail_delay": str(5 * settings.sleeptime),
            # A hub that is started again is missed for seconds, not minutes.
            "retry_interval": "2",
            "offline_retry_interval": "2",
            "max_retries": "300",
        }
    }


def builder(settings: Settings) -> dict[str, object]:
    """What registration.py and health.py have to know."""
    return {
        "hub": settings.hub,
        "patience": settings.patience,
        "name": settings.name,
        # What is to be so, always; and what a new host begins with.
        "arches": settings.arches,
        "channels": settings.channels,
        "capacity": settings.capacity,
        "new": {
            "arches": [platform.machine()],
            "channels": ("createrepo",) if settings.mock == NO_MOCK else DEFAULT_CHANNELS,
        },
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Prepare everything, register, and become the keeper of kojid."""
    argv = sys.argv[1:] if argv is None else argv
    if entry.passes_through(argv):
        entry.exec_command(argv)
    root = Path("/")
    settings = Settings.read(os.environ, socket.gethostname())
    choose_mock(root, settings.mock)
    own_certificate(root / CREDENTIALS, settings.name)
    trust(root, root / CREDENTIALS / "koji_ca_cert.crt")
    configuration = merged(kojid_options(settings), root / "etc/kojid/kojid.conf.d")
    files.write(root / CONFIGURATION, configuration, mode=0o600)
    files.write(root / BUILDER, json.dumps(builder(settings)))
    import registration  # noqa: PLC0415 - Koji, which is not needed for what is passed through

    registration.main(["join"])
    # As a program of its own: what was needed of Koji's library and of cryptography would otherwise
    # stay in memory as long as the builder runs.
    entry.exec_command([sys.executable, KEEPER])


if __name__ == "__main__":
    sys.exit(entry.run("koji-builder", main))
