"""Starts Apache with Koji's hub and web interface, and kojira beside it.

It needs the credentials at /etc/pki/koji, the top directory at /mnt/koji, writable, and the
database: koji-database, or a site's own PostgreSQL. With the argument `nokojira` kojira is not
started; with `kojira` nothing else is. With `hub` only Apache is: it is a hub beside another on the
same database, which has the registrar and housekeeping. In the folder /etc/pki/koji-builders, which
they share with the hub, builders ask for certificates and for their registration.

Environment variables, with their defaults:

KOJI_DATABASE_HOST=kojidatabase   where the database is; it must show a certificate of that name
KOJI_DATABASE_URL=                a database of the site's own in place of koji-database, as libpq
                                  writes it: postgresql://ROLE@HOST/DATABASE?sslrootcert=FILE, with
                                  libpq's other parameters. sslmode is verify-full by default. The
                                  hub's certificate is shown to it, or that in `sslcert`, unless
                                  there is a password; see docs/postgresql.md
KOJI_DATABASE_PASSWORD_FILE=      a file with the role's password there
KOJI_WAIT_SECONDS=60              how long to wait for it
KOJI_SITE_NAME=koji               the name that kojiweb shows
KOJI_WEB_URL=https://koji/koji    the address of kojiweb, for links in mails; if set, plain HTTP
                                  is redirected there
KOJI_HUB_NAMES=                   DNS names and IP addresses of the hub, separated by commas or
                                  blanks, in addition to koji, localhost, the loopback addresses
                                  and the host in KOJI_WEB_URL. The hub's certificate is valid for
                                  all these, and the hub answers to no other
KOJI_SITE_CERTIFICATE=            a PEM file with the private key, the certificate and the
                                  intermediate certificates: shown to those who call the host in
                                  KOJI_WEB_URL, in place of the hub's certificate
KOJI_KEYTAB=                      a keytab with a key of HTTP/HOST@REALM: with it users and builders
                                  can log in with Kerberos too; see docs/kerberos.md
KOJI_FILES_URL=/kojifiles         the address of files in kojiweb's links, on this host or another
KOJI_PLAIN_FILES=no               /kojifiles on port 80 too, without TLS, as Koji's client needs it
                                  to download files where it does not know the authority
KOJI_WEB_SECRET, KOJI_WEB_SECRET_FILE
                                  the secret that signs kojiweb's cookies; derived from the
                                  system's credentials if neither is set
KOJI_LOG_LEVEL=WARNING            DEBUG, INFO, WARNING, ERROR: of kojihub, kojiweb and kojira
KOJI_HUB_PLUGINS=                 the hub's plugins, by name, from /usr/lib/koji-hub-plugins or
                                  the site's own /usr/local/lib/koji-hub-plugins
KOJI_HUB_PROCESSES=               how many calls the hub handles at once; by default the number of
                                  processors, but at least two and at most four
KOJI_ENABLE_MAVEN=no              Maven builds
KOJI_NOTIFICATIONS=no             mails about builds and tags, to NAME@EmailDomain of hub.conf.d;
                                  builders send them, as kojid.conf.d says (smtphost, from_addr)
KOJI_HUB_URL=https://koji/kojihub the hub, for `kojira`; it must show a certificate of that name
KOJI_HOUSEKEEPING_HOURS=24        hours between two runs of koji-gc, which deletes builds that have
                                  had no tag for weeks, and koji-sweep-db, which deletes sessions;
                                  0: never. See housekeeping.py
KOJIRA_SLEEPTIME=2                seconds between two checks of kojira. Up to Koji 1.34 a changed
                                  tag gets its repository after one to three of them; since, a tag
                                  gets one on request, and each build requests it. kojira requests
                                  one for a changed tag whose extra `repo.auto` is true

Other options go into files, which are read at the start: /etc/koji-hub/hub.conf.d/*.conf (sections
[hub], [policy]), /etc/kojiweb/web.conf.d/*.conf, /etc/kojira/kojira.conf.d/*.conf,
/etc/koji-gc/koji-gc.conf.d/*.conf and /etc/koji-sweep-db/koji-sweep-db.conf.d/*.conf, read in the
order of their names, each overriding this script and the files before it;
/etc/apache2/conf.d/*.conf for Apache, and *.vhost there for its HTTPS host.
"""

import hashlib
import hmac
import ipaddress
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

import allowances
import answers
import builders
import housekeeping
import kerberos
import psycopg2
import sessions
import site_files
import tls
import top_directory
import write_lock
from cryptography import x509
from database import Database

from util import certificates, credentials, entry, files
from util.configuration import RECONNECT, merged
from util.environment import LOG_LEVELS, Environment
from util.names import LOOPBACK, Names
from util.supervise import Daemon, supervise
from util.waiting import wait_until

USER = "www-data"
TOP = Path("mnt/koji")
# On a tmpfs, so that `docker commit` of the container leaves them out of the image.
PRIVATE = Path("dev/shm/koji-hub")
ROOT_PRIVATE = Path("dev/shm/koji-hub-root")
RUN = Path("run/koji-hub")
PLUGIN_PATH = ("usr/local/lib/koji-hub-plugins", "usr/lib/koji-hub-plugins")
WEB_URL = "https://koji/koji"
# The hub for a kojira beside it, and for one in a container of its own.
OWN_HUB, HUB = "https://localhost/kojihub", "https://koji/kojihub"

# Seconds for Apache to finish its requests, and a little more; an engine kills after 10.
APACHE_GRACE = 6.0
HTTPD = Daemon("httpd", ("apache2", "-f", "/etc/apache2/koji.conf", "-D", "FOREGROUND"))
# Options of later hubs, which earlier ones ignore.
LATER = {
    # From 1.34 on the hub, not the builders, decides who gets a task: at each poll of a builder
    # that has nothing to do. Koji's interval of 60 s would be spent before each step of a build.
    "RunInterval": "0",
    # Seconds until tasks of a builder that was killed are given to another. Koji's are up to 900.
    "AssignTimeout": "30",
    "ReadyTimeout": "30",
    "SoftRefusalTimeout": "30",
    "HostTimeout": "120",
    # From 1.35 on repositories are made on request, and one that is an hour older than the tag
    # satisfies Koji's default. Here it has to have the tag's last change, even if that is from the
    # current second, which 0 would leave out.
    "RepoLag": "-1",
    "RepoAutoLag": "-1",
    "RepoLagWindow": "1",
}
HOUSEKEEPING = (sys.executable, "/usr/lib/nagoya/housekeeping.py")
REGISTRAR = Daemon("registrar", (sys.executable, "/usr/lib/nagoya/registrar.py"))
KOJIRA = Daemon("kojira", (sys.executable, "/usr/lib/nagoya/kojira.py"), user=USER)


@dataclass(frozen=True)
class Settings:
    """The environment, read and checked."""

    database: Database
    patience: float
    site_name: str
    web_url: str
    https_origin: str
    web_host: str
    names: Names
    site_certificate: Path | None
    keytab: Path | None
    has_public_name: bool
    plain_files: bool
    files_url: str
    web_secret: str | None
    log_level: str
    plugins: tuple[str, ...]
    processes: int
    maven: bool
    notifications: bool
    hub: str
    housekeeping_hours: int
    sleeptime: int

    @classmethod
    def read(cls, values: Mapping[str, str], root: Path, processors: int = 1) -> Self:
        """Read `values`. Raises Fatal that lists every error."""
        environment = Environment(values)
        processes = min(4, max(2, processors))
        web_url = environment.url("KOJI_WEB_URL", WEB_URL)
        web_host = urlsplit(web_url).hostname or ""
        own = ("koji", *LOOPBACK, web_host)
        added = environment.words("KOJI_HUB_NAMES")
        names = Names.parse(own, partial(environment.wrong, "KOJI_WEB_URL"))
        names += Names.parse(added, partial(environment.wrong, "KOJI_HUB_NAMES"))
        site = environment.text(tls.VARIABLE, "")
        if site and not site.startswith("/"):
            environment.wrong(tls.VARIABLE, f"{site!r} is not an absolute path")
        if site and not environment.text("KOJI_WEB_URL", ""):
            environment.wrong(tls.VARIABLE, "needs KOJI_WEB_URL, whose host it is for")
        keytab = environment.text(kerberos.VARIABLE, "")
        if keytab and not keytab.startswith("/"):
            environment.wrong(kerberos.VARIABLE, f"{keytab!r} is not an absolute path")
        # By default the name that the client called.
        origin, public = "https://%{SERVER_NAME}", False
        if environment.text("KOJI_WEB_URL", ""):
            address = urlsplit(web_url)
            origin, public = f"https://{address.netloc}", is_public(address.hostname or "")
        files_url = environment.text("KOJI_FILES_URL", "/kojifiles")
        if not files_url.startswith("/"):
            files_url = environment.url("KOJI_FILES_URL", "", schemes=("https", "http"))
        plugins = environment.words("KOJI_HUB_PLUGINS")
        for name in plugins:
            if not any((root / folder / f"{name}.py").exists() for folder in PLUGIN_PATH):
                environment.wrong(
                    "KOJI_HUB_PLUGINS", f"no plugin {name!r} in /{' or /'.join(PLUGIN_PATH)}"
                )
        settings = cls(
            database=Database.read(environment, root),
            patience=environment.seconds("KOJI_WAIT_SECONDS", 60),
            site_name=environment.text("KOJI_SITE_NAME", "koji"),
            web_url=web_url,
            https_origin=origin,
            web_host=web_host,
            names=names,
            site_certificate=Path(site) if site else None,
            keytab=root / keytab.lstrip("/") if keytab else None,
            has_public_name=public,
            plain_files=environment.flag("KOJI_PLAIN_FILES", False),
            files_url=files_url,
            web_secret=environment.secret("KOJI_WEB_SECRET"),
            log_level=environment.choice("KOJI_LOG_LEVEL", "WARNING", LOG_LEVELS),
            plugins=plugins,
            processes=environment.integer("KOJI_HUB_PROCESSES", processes, minimum=1, maximum=64),
            maven=environment.flag("KOJI_ENABLE_MAVEN", False),
            notifications=environment.flag("KOJI_NOTIFICATIONS", False),
            hub=environment.url("KOJI_HUB_URL", HUB),
            housekeeping_hours=environment.integer(
                "KOJI_HOUSEKEEPING_HOURS", 24, minimum=0, maximum=8760
            ),
            sleeptime=environment.integer("KOJIRA_SLEEPTIME", 2, minimum=1, maximum=3600),
        )
        environment.check()
        return settings


def process_memory(processes: int) -> int:
    """How many bytes each of the hub's processes may take: an equal part of half of the memory of
    the container or the machine, but at least 1 GiB, for calls that list all of a large tag."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    # Version 2 of control groups, and version 1.
    for limit in ("memory.max", "memory/memory.limit_in_bytes"):
        with suppress(OSError, ValueError):
            memory = min(memory, int(Path("/sys/fs/cgroup", limit).read_text()))
    return max(memory // 2 // processes, 1024**3)


def check_volumes(root: Path) -> None:
    """Raise Fatal unless the credentials and a writable top directory are there."""
    credentials.require(root)
    packages = root / TOP / "packages"
    if not packages.is_dir():
        raise entry.Fatal(
            f"there is no Koji top directory at {root / TOP}",
            hint="run koji-top-volume first, and then this image with `--volumes-from kojitop:rw`",
        )
    if os.statvfs(packages).f_flag & os.ST_RDONLY:
        raise entry.Fatal(
            f"the top directory at {root / TOP} is mounted read-only",
            hint="give this image `--volumes-from kojitop:rw`",
        )
    if problem := top_directory.denial(root / TOP, USER):
        raise entry.Fatal(problem)


def check_certificates(root: Path) -> None:
    """Raise Fatal if a certificate that every call needs has expired; log what others have."""
    folder = root / credentials.FOLDER
    if error := certificates.date_error(folder, credentials.SERVERS):
        raise error
    if error := certificates.date_error(folder, credentials.CLIENTS):
        entry.log(f"{error}; {error.hint}")


def copy_credentials(root: Path, user: str) -> None:
    """Copy kojiweb's key for `user`, which the hub runs as too, and what is revoked."""
    folder = root / credentials.FOLDER
    files.private_copy(folder / "kojiweb.pem", root / PRIVATE / "kojiweb.pem", user)
    files.write(root / RUN / "revoked.crl", certificates.revocations_of(folder))


def subject(certificate: Path) -> str:
    """The subject of a certificate as Apache spells it (RFC 2253: `CN=kojiweb,O=Nagoya`)."""
    return x509.load_pem_x509_certificate(certificate.read_bytes()).subject.rfc4514_string()


def is_public(name: str) -> bool:
    """Whether a name can be that of one machine only: not `koji`, `localhost` or an address."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return "." in name
    return False


def web_secret(folder: Path, chosen: str | None) -> str:
    """The secret for kojiweb's cookies: the chosen one, or one that is unique to this system.

    The latter is derived from kojiweb's key and stored nowhere: users stay logged in when the hub's
    container is recreated, and a committed container has no secret in its layers. Whatever it is,
    revoking a certificate changes it, since a cookie is as good as the certificate. The list of
    revocations would not do: it forgets those of a former authority.
    """
    key = (folder / "private/kojiweb.key").read_bytes()
    secret = chosen or hmac.new(key, b"kojiweb's cookies", hashlib.sha256).hexdigest()
    for path in sorted((folder / "certs/revoked").glob("*.crt")):
        for certificate in certificates.load_all(path):
            serial = f"{certificate.serial_number}".encode()
            secret = hmac.new(secret.encode(), serial, hashlib.sha256).hexdigest()
    return secret


def hub_options(settings: Settings, address: str, proxy: str) -> dict[str, dict[str, str]]:
    """The contents of hub.conf, without Koji's defaults and default policies."""
    return {
        "hub": {
            "DBConnectionString": address,
            "KojiDir": f"/{TOP}",
            "DNUsernameComponent": "CN",
            "ProxyDNs": proxy,
            # kojiweb logs in with its certificate, on behalf of those who come with a ticket.
            "AllowProxyAuthType": str(bool(settings.keytab)),
            # An unknown user is refused, even with a certificate.
            "LoginCreatesUser": "Off",
            "KojiWebURL": settings.web_url,
            "EnableMaven": str(settings.maven),
            "DisableNotifications": str(not settings.notifications),
            "NotifyOnSuccess": str(settings.notifications),
            "PluginPath": ":".join(f"/{folder}" for folder in PLUGIN_PATH),
            "Plugins": " ".join(settings.plugins),
            "LogLevel": settings.log_level,
            **LATER,
        }
    }


def web_options(settings: Settings, secret: str) -> dict[str, dict[str, str]]:
    """The contents of web.conf. Koji interpolates it, so percent signs are doubled."""
    options = {
        "SiteName": settings.site_name,
        # For kojiweb itself, in this container; browsers see only KojiFilesURL.
        "KojiHubURL": OWN_HUB,
        "KojiHubCA": f"/{credentials.FOLDER}/koji_ca_cert.crt",
        "KojiFilesURL": settings.files_url,
        "WebCert": f"/{PRIVATE}/kojiweb.pem",
        # The user is who Apache says, by a ticket or a certificate.
        **({"WebAuthType": "gssapi"} if settings.keytab else {}),
        "Secret": secret,
        "LogLevel": settings.log_level,
    }
    return {"web": {name: value.replace("%", "%%") for name, value in options.items()}}


def kojira_options(settings: Settings, hub: str) -> dict[str, dict[str, str]]:
    """The contents of kojira.conf."""
    return {
        "kojira": {
            "server": hub,
            "serverca": f"/{credentials.FOLDER}/koji_ca_cert.crt",
            "cert": f"/{PRIVATE}/kojira.pem",
            "topdir": f"/{TOP}",
            # It logs to stderr too, which is what the engine keeps.
            "logfile": "/dev/null",
            "verbose": str(settings.log_level in ("DEBUG", "INFO")),
            "debug": str(settings.log_level == "DEBUG"),
            "sleeptime": str(settings.sleeptime),
            # Koji's default from 1.35 on downloads from each external repository at each check.
            "check_external_repos": "False",
            **RECONNECT,
        }
    }


def configure_kojira(root: Path, settings: Settings, hub: str, user: str) -> None:
    """Copy kojira's key for `user`, which it runs as, and write its file with the site's."""
    pem = root / PRIVATE / "kojira.pem"
    files.private_copy(root / credentials.FOLDER / "kojira.pem", pem, user)
    kojira = merged(kojira_options(settings, hub), root / "etc/kojira/kojira.conf.d")
    files.write(root / "etc/kojira/kojira.conf", kojira)


def write_configuration(root: Path, settings: Settings) -> None:
    """Write the files of the hub, kojiweb and housekeeping, merged with the site's."""
    address = settings.database.address(root, PRIVATE, USER)
    proxy = subject(root / credentials.FOLDER / "certs/kojiweb.crt")
    hub = merged(hub_options(settings, address, proxy), root / "etc/koji-hub/hub.conf.d")
    if settings.notifications and "\nemaildomain = " not in hub:
        entry.log(
            "KOJI_NOTIFICATIONS: mails go to NAME@None without the option EmailDomain; "
            "set it in section [hub] of a file in /etc/koji-hub/hub.conf.d"
        )
    gc = merged(
        housekeeping.gc_options(OWN_HUB, f"/{credentials.FOLDER}"),
        root / "etc/koji-gc/koji-gc.conf.d",
    )
    sweep = merged(housekeeping.sweep_options(), root / "etc/koji-sweep-db/koji-sweep-db.conf.d")
    files.write(root / housekeeping.GC_CONFIGURATION, gc)
    files.write(root / housekeeping.SWEEP_CONFIGURATION, sweep)
    files.write(root / "etc/koji-hub/hub.conf", hub)
    write_web_configuration(root, settings)


def write_web_configuration(root: Path, settings: Settings) -> None:
    """Write the file of kojiweb, merged with the site's."""
    secret = web_secret(root / credentials.FOLDER, settings.web_secret)
    web = merged(web_options(settings, secret), root / "etc/kojiweb/web.conf.d")
    files.write(root / PRIVATE / "web.conf", web, mode=0o400, owner=USER)


def main(argv: Sequence[str] | None = None) -> int:
    """Configure Apache and kojira, then run them under the supervisor, or kojira alone."""
    argv = sys.argv[1:] if argv is None else argv
    if entry.passes_through(argv, own=["nokojira", "kojira", "hub"]):
        entry.exec_command(argv)
    root = Path("/")
    settings = Settings.read(os.environ, root, len(os.sched_getaffinity(0)))
    check_volumes(root)
    role = argv[0] if argv else ""
    if role == "hub" and not settings.database.external:
        raise entry.Fatal(
            "the argument `hub` is for a hub beside another, on a database that KOJI_DATABASE_URL "
            "names: snapshots of a system's own database know one hub",
            hint="set KOJI_DATABASE_URL, or leave the argument out",
        )
    configure_kojira(root, settings, settings.hub if role == "kojira" else OWN_HUB, USER)
    if role == "kojira":
        entry.exec_command(KOJIRA.command, user=USER)
    check_certificates(root)
    (root / RUN).mkdir(exist_ok=True)
    own = [] if role == "hub" else [builders.FOLDER]
    for folder in (allowances.FOLDER, answers.FOLDER, *own):
        (root / folder.relative_to("/")).mkdir(mode=0o700, exist_ok=True)
        shutil.chown(root / folder.relative_to("/"), USER)
    write_lock.create(root / RUN)
    copy_credentials(root, USER)
    tls.write(root, settings.names, settings.site_certificate, settings.web_host)
    kerberos.write(root / PRIVATE, settings.keytab, USER)
    write_configuration(root, settings)
    site_files.record(root)

    address = settings.database.address(root, ROOT_PRIVATE, "root")
    wait_until(
        lambda: settings.database.ask(address),
        settings.patience,
        str(settings.database),
        retry=psycopg2.Error,
        hint=settings.database.hint,
    )
    sessions.expire(address, sessions.revoked(root / credentials.FOLDER))
    # The environment of the daemons must not hold a secret.
    os.environ.pop("KOJI_WEB_SECRET", None)
    os.environ["KOJI_HUB_PROCESSES"] = str(settings.processes)
    os.environ["KOJI_HUB_MEMORY"] = str(process_memory(settings.processes))
    os.environ["KOJI_HTTPS_ORIGIN"] = settings.https_origin
    os.environ["KOJI_NAMES"] = tls.name_pattern(root / tls.HUB)
    os.environ["KOJI_SITE_HOST"] = settings.web_host
    os.environ["KOJI_WEB_NAME"] = "public" if settings.has_public_name else "local"
    os.environ["KOJI_PLAIN_FILES"] = str(settings.plain_files)
    (root / RUN / "httpd.pid").unlink(missing_ok=True)
    sidecars = [] if role == "hub" else [REGISTRAR]
    if not role:
        sidecars.append(KOJIRA)
    hours = settings.housekeeping_hours
    if hours and role != "hub":
        # Not at once, which would slow down the start of a system.
        sidecars.append(Daemon("housekeeping", HOUSEKEEPING, every=hours * 3600.0, first=3600.0))
    return supervise(HTTPD, sidecars, lambda: APACHE_GRACE)


if __name__ == "__main__":
    sys.exit(entry.run("koji-hub", main))
