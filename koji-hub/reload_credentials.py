"""Has the hub, kojiweb and kojira use the credentials as they are now: renewed, replaced, revoked.

Apache restarts gracefully: Koji's client repeats a call that is interrupted. In a container that
runs kojira alone, kojira gets its new key.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import entrypoint
import kerberos
import psycopg2
import registrar
import sessions
import tls

from util import certificates, credentials, entry, exchange, files, processes
from util.waiting import wait_until

PATIENCE = 30.0


def restart_apache(root: Path) -> None:
    """Have Apache read its files, and wait until it uses them.

    Raises Fatal if it would end, since a file of the site is wrong.
    """
    httpd = int((root / entrypoint.RUN / "httpd.pid").read_text())
    variables = Path(f"/proc/{httpd}/environ").read_text().rstrip("\0").split("\0")
    checked = subprocess.run(
        [*entrypoint.HTTPD.command[:3], "-t"],
        env=dict(variable.split("=", 1) for variable in variables),
        check=False,
        capture_output=True,
        text=True,
    )
    if checked.returncode:
        raise entry.Fatal(
            f"Apache did not read the credentials, since it would end: {checked.stderr.strip()}",
            hint="correct the file that it names in /etc/apache2",
        )

    def children() -> set[int]:
        return {process.pid for process in processes.processes() if process.parent == httpd}

    def require_new() -> None:
        if children() <= former:
            raise LookupError("it has no new process")

    former = children()
    os.kill(1, signal.SIGUSR1)
    wait_until(require_new, PATIENCE, "Apache to read the credentials", retry=LookupError)


def main() -> int:
    """Copy what changed, end the sessions of the revoked, and let Apache read its files."""
    root = Path("/")
    pem = root / entrypoint.PRIVATE / "kojira.pem"
    files.private_copy(root / credentials.FOLDER / "kojira.pem", pem, entrypoint.USER)
    if not (root / entrypoint.RUN / "httpd.pid").exists():
        return 0
    registrar.publish_authority(root / credentials.FOLDER, root / exchange.FOLDER)
    settings = entrypoint.Settings.read(os.environ, root)
    revoked = certificates.read_revocations(root / entrypoint.RUN / "revoked.crl")
    entrypoint.copy_credentials(root, entrypoint.USER)
    settings.database.address(root, entrypoint.PRIVATE, entrypoint.USER)
    refusal = None
    try:
        tls.write(root, settings.names, settings.site_certificate, settings.web_host)
        kerberos.write(root / entrypoint.PRIVATE, settings.keytab, entrypoint.USER)
    except entry.Fatal as error:  # what was revoked has to be refused nevertheless
        refusal = error
    entrypoint.write_web_configuration(root, settings)
    restart_apache(root)
    names = sessions.revoked(
        root / credentials.FOLDER, {revocation.serial for revocation in revoked}
    )
    try:
        # Until Apache's restart, users could log in with a certificate that had just been revoked.
        ended = sessions.expire(
            settings.database.address(root, entrypoint.ROOT_PRIVATE, "root"),
            dict.fromkeys(names, time.time()),
        )
    except psycopg2.Error as error:
        raise entry.Fatal(
            f"the sessions of those whose certificates were revoked go on: {error}",
            hint="the hub ends them when it starts",
        ) from error
    if names:
        entry.log(f"ended {ended} sessions of {', '.join(names)}, whose certificates were revoked")
    if refusal:
        raise entry.Fatal(f"{refusal}; the former one stays in use", hint=refusal.hint)
    return 0


if __name__ == "__main__":
    sys.exit(entry.run("koji-hub", main))
