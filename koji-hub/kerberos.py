"""The keytab with which Apache checks the tickets of Kerberos' users."""

from pathlib import Path

from util import entry, files

VARIABLE = "KOJI_KEYTAB"
# Where httpd.conf looks for it; without it there is no log-in with Kerberos.
COPY = "http.keytab"
# Of the only format that has been written for decades.
MAGIC = b"\x05\x02"


def write(folder: Path, keytab: Path | None, user: str) -> None:
    """Copy the keytab for `user`, as whom Apache runs, or remove an earlier copy. Raises Fatal."""
    if keytab is None:
        (folder / COPY).unlink(missing_ok=True)
        return
    try:
        content = keytab.read_bytes()
    except OSError as error:
        raise _fatal(f"cannot read {keytab}: {error.strerror}") from error
    if not content.startswith(MAGIC):
        raise _fatal(f"{keytab} is not a keytab")
    # Each part of a principal follows its length.
    if b"\x00\x04HTTP" not in content:
        raise _fatal(f"{keytab} has no key of a principal HTTP/HOST@REALM")
    files.write(folder / COPY, content, mode=0o400, owner=user)


def _fatal(reason: str) -> entry.Fatal:
    return entry.Fatal(
        f"{VARIABLE}: {reason}",
        hint="`ktadd -k FILE HTTP/HOST` of kadmin makes one, where HOST is the hub's name for its "
        "clients",
    )
