"""Register this container as a builder, and start kojid.

It needs the folder /etc/pki/koji-builders, writable, which it shares with the hub: there it asks
for a certificate, for a key that never leaves this container; or, on another machine, a bundle. It
needs the hub, and for the tasks of the channel `createrepo` the top directory at /mnt/koji,
read-only. Environment variables, with their defaults:

KOJI_BUILDER_BUNDLE=/run/secrets/koji-builder-bundle
                                       a file by `toji builder bundle`, for a remote builder:
                                       its name, key and certificate, the authority's, and the
                                       hub's URL. With it nothing has to be mounted
KOJI_HUB_URL=https://koji/kojihub      the hub; it must show a certificate of that name. A bundle
                                       names its own
KOJI_FILES_URL=                        the top directory as the hub serves it; by default
                                       /kojifiles on the hub
KOJI_WAIT_SECONDS=60                   how long to wait for the hub
KOJI_BUILDER_NAME=                     the name of the host, its user and its certificate; by
                                       default the container's host name
KOJI_BUILDER_ARCHES=                   the arches it builds for, such as `x86_64 i686`; the hub
                                       registers them under Koji's own names, such as i386
KOJI_BUILDER_CHANNELS=                 its channels; those that the hub lacks are added
KOJI_BUILDER_CAPACITY=                 the total weight of its tasks, more than 1 (building an RPM
                                       weighs 1.5 or more)
KOJI_BUILDER_MAXJOBS=10                the maximum number of its tasks
KOJI_BUILDER_SLEEPTIME=1               seconds between two polls of the hub for tasks; longer
                                       where there are more than 15 builders (poll_rate.py)
KOJI_BUILDER_MINSPACE=2048             MB of free space, below which it takes no task
KOJI_BUILDER_MOCK=                     the path of another mock, for all builds; or `none` for a
                                       builder that only makes repositories, and so needs no
                                       privileges
KOJI_BUILDER_PLUGINS=fast_poll ignore_load
                                       kojid's plugins, from /usr/local/lib/koji-builder-plugins
                                       (the site's) or /usr/lib/koji-builder-plugins. Koji has
                                       runroot and save_failed_tree among others, configured in
                                       /etc/kojid/plugins; the two defaults are this image's
KOJI_BUILDER_ALLOWED_SCMS=             where sources may come from, as in kojid.conf:
                                       `host:repository[:use_common[:source_cmd]] …`
KOJI_LOG_LEVEL=INFO                    DEBUG, INFO, WARNING, ERROR

The hub keeps arches, channels and capacity. Those that are set here are set on the hub at every
start. For the others, a new host gets this machine's arch, the channels `default` and `createrepo`
and Koji's capacity of 2, and a known host keeps what `koji edit-host` made of it. Without the top
directory no host is in `createrepo`.

Other options go into /etc/kojid/kojid.conf.d/*.conf (section [kojid]). These files are read at the
start, in the order of their names, and override this script and each other.

Koji's sleeptime is 15 s. Every step of a build starts with a poll, so that a build would mostly
wait. docs/scale.md says what a poll costs the hub and the database.
"""

import json
import os
import platform
import re
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import builder_file
from trust import trust

from util import credentials, entry, exchange, files
from util.bundle import VARIABLE, Bundle, find
from util.certificates import is_name
from util.configuration import RECONNECT, merged
from util.environment import LOG_LEVELS, Environment
from util.hub import UNREACHABLE, hub
from util.waiting import wait_until

CONFIGURATION = Path("etc/kojid/kojid.conf")

# Those that nobody has a reason to turn off, and the default of KOJI_BUILDER_PLUGINS.
PLUGINS = (
    "current_repo", "keep_alive", "kill_checkouts_first", "log_changes", "mock_ends_builds",
    "mock_logs", "poll_rate", "remove_aside", "retry_downloads", "send_only_xml",
)  # fmt: skip
DEFAULT_PLUGINS = ("fast_poll", "ignore_load")
DEFAULT_CHANNELS = ("default", "createrepo")
# The channels whose tasks read the top directory as a file system: newRepo, createrepo, distRepo,
# createdistrepo. All others of Koji's download from KOJI_FILES_URL.
WITH_TOP = ("createrepo",)
TOP = Path("mnt/koji")
BUILDROOTS = Path("var/lib/mock")
MOCK = "/usr/bin/mock"
# What /usr/bin/mock executes instead of our driver, if it exists.
OTHER_MOCK = Path("etc/mock/driver")
NO_MOCK = "none"
HUB = "https://koji/kojihub"
PLUGIN_PATH = "/usr/local/lib/koji-builder-plugins:/usr/lib/koji-builder-plugins"

MOUNT = f"`--volume kojibuilders:/{exchange.FOLDER}`"
SUPERVISOR = "/usr/lib/nagoya/supervisor.py"


@dataclass(frozen=True)
class Settings:
    """The environment, read and checked. None: not set."""

    bundle: Bundle | None
    hub: str
    files: str
    hub_timeout: float
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
        """Read `values`. Raises Fatal that lists every error."""
        environment = Environment(values)
        bundle = find(environment)
        name = environment.text("KOJI_BUILDER_NAME", bundle.name if bundle else hostname)
        if bundle and name != bundle.name:
            environment.wrong("KOJI_BUILDER_NAME", f"{name!r} is not {bundle.name!r}, the bundle's")
        hub = environment.url("KOJI_HUB_URL", bundle.hub if bundle else HUB)
        if not is_name(name):
            environment.wrong("KOJI_BUILDER_NAME", f"{name!r} is not valid in a certificate")
        elif name in credentials.RESERVED:
            environment.wrong("KOJI_BUILDER_NAME", f"{name!r} is one of Koji's own users")
        arches = environment.words("KOJI_BUILDER_ARCHES")
        for arch in arches:
            if not re.fullmatch(r"[A-Za-z0-9_]+", arch):
                environment.wrong("KOJI_BUILDER_ARCHES", f"{arch!r} is not an arch")
        scms = environment.words("KOJI_BUILDER_ALLOWED_SCMS", separators=r"\s+")
        for scm in scms:
            if ":" not in scm.strip(":"):
                environment.wrong(
                    "KOJI_BUILDER_ALLOWED_SCMS", f"{scm!r} is not of the form host:repository"
                )
        mock = environment.text("KOJI_BUILDER_MOCK", "")
        if mock not in ("", NO_MOCK) and not os.access(mock, os.X_OK):
            environment.wrong("KOJI_BUILDER_MOCK", f"{mock!r} is not an executable here")
        capacity = environment.number("KOJI_BUILDER_CAPACITY", 0)
        if environment.text("KOJI_BUILDER_CAPACITY", "") and capacity <= 1:
            environment.wrong("KOJI_BUILDER_CAPACITY", "Koji's database requires more than 1")
        settings = cls(
            bundle=bundle,
            hub=hub,
            files=environment.url(
                "KOJI_FILES_URL", beside(hub, "kojifiles"), schemes=("https", "http")
            ),
            hub_timeout=environment.seconds("KOJI_WAIT_SECONDS", 60),
            name=name,
            arches=arches or None,
            channels=environment.words("KOJI_BUILDER_CHANNELS") or None,
            capacity=capacity or None,
            maxjobs=environment.integer("KOJI_BUILDER_MAXJOBS", 10, minimum=1, maximum=1000),
            sleeptime=environment.integer("KOJI_BUILDER_SLEEPTIME", 1, minimum=1, maximum=3600),
            minspace=environment.integer("KOJI_BUILDER_MINSPACE", 2048, minimum=0, maximum=10**9),
            mock=mock,
            plugins=environment.words("KOJI_BUILDER_PLUGINS", DEFAULT_PLUGINS),
            allowed_scms=" ".join(scms),
            log_level=environment.choice("KOJI_LOG_LEVEL", "INFO", LOG_LEVELS),
        )
        environment.check()
        return settings


def beside(hub: str, name: str) -> str:
    """The URL of something that the hub serves beside its API."""
    return f"{hub.removesuffix('/kojihub')}/{name}"


def find_hub(root: Path, url: str, patience: float, bundle: Bundle | None = None) -> Path:
    """Wait for the hub, and store the authority's certificate, from the bundle or from where the
    hub's registrar wrote it; its path.

    Raises Fatal if this container sees the keys of the credentials: tasks run foreign code here.
    """
    own, shared = root / credentials.FOLDER, root / exchange.FOLDER
    if (own / "private/koji_ca_cert.key").exists():
        raise entry.Fatal(
            f"the credentials volume is mounted at {own}, where a build could read its keys",
            hint=f"mount only the folder that builders share with the hub: {MOUNT}",
        )
    if bundle is None and not os.access(shared, os.W_OK):
        raise entry.Fatal(
            f"the folder {shared} is missing or not writable",
            hint=f"mount the one that builders share with the hub, in both: {MOUNT}; on another "
            f"machine, the file of `toji builder bundle` at {VARIABLE}",
        )
    own.mkdir(parents=True, exist_ok=True)
    authority = own / exchange.AUTHORITY
    if bundle and not is_installed(root, bundle):
        files.write(authority, bundle.authority)

    def reach() -> None:
        if bundle is None:
            # Again at each attempt: a hub that is starting may have another one.
            files.write(authority, exchange.read(shared / exchange.AUTHORITY))
        hub(url, authority).getAPIVersion()

    wait_until(
        reach,
        patience,
        f"the hub at {url}",
        retry=UNREACHABLE,
        hint="from this container the hub has to be reached under that name; `--add-host` adds a "
        "name to a container. KOJI_HUB_URL sets another, which its certificate must contain"
        if bundle
        else "start koji-hub on the same network under that name, or set KOJI_HUB_URL to another "
        f"name, which its certificate must contain (KOJI_HUB_NAMES). Both need {MOUNT}",
    )
    return authority


def choose_mock(root: Path, mock: str) -> None:
    """Select our mock, the site's or none. Raises Fatal if ours cannot work in this container."""
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
            f"this container cannot build RPMs: {checked.stderr.strip()}",
            hint="or set KOJI_BUILDER_MOCK=none for a builder that only makes repositories",
        )


def kojid_options(settings: Settings) -> dict[str, dict[str, str]]:
    """The contents of kojid.conf, without Koji's defaults."""
    elsewhere = ["end_when_refused"] if settings.bundle else []
    return {
        "kojid": {
            "server": settings.hub,
            "topurl": settings.files,
            "topdir": "/mnt/koji",
            "cert": f"/{credentials.FOLDER}/{settings.name}.pem",
            "serverca": f"/{credentials.FOLDER}/koji_ca_cert.crt",
            "maxjobs": str(settings.maxjobs),
            "sleeptime": str(settings.sleeptime),
            "minspace": str(settings.minspace),
            "allowed_scms": settings.allowed_scms,
            "log_level": settings.log_level,
            "pluginpath": PLUGIN_PATH,
            "plugins": " ".join((*PLUGINS, *elsewhere, *settings.plugins)),
            # Seconds until a call is repeated. Koji has 12 hours. A hub that is out of reach is
            # noticed by keep_alive.py; the Apache of our hub waits for 300 s at most.
            "timeout": "900",
            # How long a task is left to builders with more free capacity. Koji's 300 s go with
            # its sleeptime of 15 s. Here they would be spent waiting for a builder that was killed,
            # which the hub considers alive for five minutes.
            "task_avail_delay": str(5 * settings.sleeptime),
            # Or kojid would leave out a tag's `mock.bootstrap_image`, which mock has to refuse.
            "mock_bootstrap_image": "yes",
            **RECONNECT,
        }
    }


def unserved(root: Path) -> list[str]:
    """The channels whose tasks cannot work here, since the top directory is not mounted."""
    return [] if (root / TOP / "repos").is_dir() else [*WITH_TOP]


def builder(settings: Settings, unserved: Sequence[str] = ()) -> dict[str, object]:
    """What registration.py, health.py and snapshot.py have to know, as JSON.

    Raises Fatal if nothing is left of its channels without those `unserved`.
    """
    new = ("createrepo",) if settings.mock == NO_MOCK else DEFAULT_CHANNELS
    channels = settings.channels or new
    if set(channels) <= set(unserved):
        raise entry.Fatal(
            f"this builder can work for none of its channels, {', '.join(channels)}: their tasks "
            f"read the top directory, which is not mounted at /{TOP}",
            hint="mount it there, read-only; or choose others by KOJI_BUILDER_CHANNELS",
        )
    return {
        "hub": settings.hub,
        "hub_timeout": settings.hub_timeout,
        "name": settings.name,
        # Where the registrar is asked; null: in the folder that is shared with the hub.
        "registrar": beside(settings.hub, "builders") if settings.bundle else None,
        # Set on the hub at every start, unless null.
        "arches": settings.arches,
        "channels": settings.channels and without(settings.channels, unserved),
        "capacity": settings.capacity,
        # The defaults of a new host.
        "new": {
            "arches": [platform.machine()],
            "channels": without(new, unserved),
        },
        # It is taken out of these, whoever put it there.
        "unserved": unserved,
    }


def without(channels: Sequence[str], unserved: Sequence[str]) -> list[str]:
    """The channels that can be served."""
    return [channel for channel in channels if channel not in unserved]


def install(root: Path, bundle: Bundle) -> None:
    """Store a bundle's key and certificate where registration.py looks, unless they are there."""
    if is_installed(root, bundle):
        return
    folder = root / credentials.FOLDER
    for name, mode in (("private", 0o700), ("certs", 0o755)):
        (folder / name).mkdir(mode=mode, exist_ok=True)
    # Until registration.py has stored it too, this container has not joined with that key.
    (folder / f"certs/{bundle.name}.crt").unlink(missing_ok=True)
    files.write(folder / f"{bundle.name}.pem", bundle.key + bundle.certificate, mode=0o600)
    files.write(folder / f"private/{bundle.name}.key", bundle.key, mode=0o600)


def is_installed(root: Path, bundle: Bundle) -> bool:
    """Whether this container has the bundle's key: with certificates, its own and the authority's,
    that may be newer than the bundle's."""
    key = root / credentials.FOLDER / f"private/{bundle.name}.key"
    return key.exists() and key.read_text() == bundle.key


def date_buildroots(root: Path) -> None:
    """Let no buildroot have a date in the future: kojid keeps one until that is hours ago.

    Root in a chroot can set the date, and mock corrects it, unless it is killed.
    """
    for path in (root / BUILDROOTS).glob("*/root"):
        if path.lstat().st_mtime > time.time():
            os.utime(path, follow_symlinks=False)


def main(argv: Sequence[str] | None = None) -> int:
    """Configure and register this builder, then execute kojid's supervisor."""
    argv = sys.argv[1:] if argv is None else argv
    if entry.passes_through(argv):
        entry.exec_command(argv)
    root = Path("/")
    settings = Settings.read(os.environ, socket.gethostname())
    choose_mock(root, settings.mock)
    date_buildroots(root)
    missing = unserved(root)
    own = builder(settings, missing)
    if missing:
        entry.log(
            f"this builder is in no channel {', '.join(missing)}: its tasks read the top "
            f"directory, which is not mounted at /{TOP}"
        )
    trust(root, find_hub(root, settings.hub, settings.hub_timeout, settings.bundle))
    if settings.bundle:
        install(root, settings.bundle)
    configuration = merged(kojid_options(settings), root / "etc/kojid/kojid.conf.d")
    files.write(root / CONFIGURATION, configuration, mode=0o600)
    files.write(root / builder_file.PATH, json.dumps(own))
    import registration  # noqa: PLC0415 - loads what other commands do without

    registration.main(["join"])
    # Another program: Koji's library and cryptography would otherwise stay in memory for good.
    entry.exec_command([sys.executable, SUPERVISOR])


if __name__ == "__main__":
    sys.exit(entry.run("koji-builder", main))
