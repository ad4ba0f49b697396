"""Ends the sessions of users whose certificates were revoked.

Koji checks a certificate at login only, not in each call of a session.
"""

from collections.abc import Collection, Mapping
from pathlib import Path

import psycopg2

from util import certificates

# Koji's own logout does the same. Where there is `closed`, an expired session can be renewed.
EXPIRE = """
UPDATE sessions SET expired = TRUE, exclusive = NULL{closed} FROM users
WHERE users.id = sessions.user_id AND users.name = %s
  AND NOT {ended} AND date_part('epoch', start_time) < %s
"""
HAS_CLOSED = """
SELECT EXISTS (SELECT FROM information_schema.columns
               WHERE table_name = 'sessions' AND column_name = 'closed')
"""


def revoked(folder: Path, former: Collection[int] = ()) -> dict[str, float]:
    """When a certificate of a name was revoked last, in seconds since the epoch; without names
    whose certificates have `former` serial numbers, all of them."""
    dates = {
        revocation.serial: revocation.date.timestamp()
        for revocation in certificates.read_revocations(folder / certificates.REVOCATIONS)
    }
    revoked_at = {}
    for path in (folder / "certs/revoked").glob("*.crt"):
        serials = {certificate.serial_number for certificate in certificates.load_all(path)} & set(
            dates
        )
        if not serials <= set(former):
            revoked_at[path.stem] = max(dates[serial] for serial in serials)
    return revoked_at


def expire(address: str, names: Mapping[str, float]) -> int:
    """End the sessions of names that began before a time; their number. Raises psycopg2.Error."""
    if not names:
        return 0
    connection = psycopg2.connect(address)
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(HAS_CLOSED)
            (closed,) = cursor.fetchone() or (False,)
            command = (
                EXPIRE.format(closed=", closed = TRUE", ended="closed")
                if closed
                else EXPIRE.format(closed="", ended="expired")
            )
            ended = 0
            for name, before in names.items():
                cursor.execute(command, [name, before])
                ended += cursor.rowcount
            return ended
    finally:
        connection.close()
