"""Koji's schema and its version in a database, and upstream's scripts that convert older ones.

Koji's database does not say which version it has, so a comment on the schema `public` records it.
In a database without one, what the scripts create shows which of them have been run.
"""

import re
from pathlib import Path
from typing import TYPE_CHECKING

from .entry import Fatal

if TYPE_CHECKING:  # this is in images without it too
    from psycopg2.extensions import cursor as Cursor

SCRIPTS = Path("/usr/lib/nagoya/schema")
# Koji's first users, each with its permission. The first is recorded as the creator of all.
USERS = {"kojiadmin": "admin", "kojira": "repo"}
Version = tuple[int, int]

_NAME = re.compile(r"schema-upgrade-\d+\.\d+-(\d+)\.(\d+)\.sql")
_COMMENT = "schema of Koji "
_CREATES = re.compile(r"CREATE\s+(?:UNIQUE\s+)?(?:TABLE|INDEX)\s+(?:IF NOT EXISTS\s+)?(\w+)", re.I)
_INSERTS = re.compile(r"INSERT\s+INTO\s+(\w+)\s*\(\s*(\w+)[^)]*\)\s*VALUES\s*\('([^']+)'", re.I)
_ADDS = re.compile(r"ALTER\s+TABLE\s+(\w+)\s+ADD\s+COLUMN\s+(\w+)", re.I)


def upgrades(folder: Path = SCRIPTS) -> dict[Version, Path]:
    """Upstream's scripts by the version that each leads to, in order."""
    scripts = {}
    for path in folder.iterdir():
        if match := _NAME.fullmatch(path.name):
            scripts[int(match[1]), int(match[2])] = path
    return dict(sorted(scripts.items()))


def pending(scripts: dict[Version, Path], version: Version) -> dict[Version, Path]:
    """The scripts that a database of some version lacks. Raises Fatal if it is newer than all."""
    newest = max(scripts)
    if version > newest:
        raise Fatal(
            f"the database has the schema of Koji {text(version)}, and this image that of Koji "
            f"{text(newest)}",
            hint="build the images from a newer Koji",
        )
    return {target: path for target, path in scripts.items() if target > version}


def version_of(cursor: "Cursor", scripts: dict[Version, Path]) -> Version:
    """The version of the schema of a database."""
    cursor.execute("SELECT obj_description('public'::regnamespace, 'pg_namespace')")
    (comment,) = cursor.fetchone() or ("",)
    if recorded := re.fullmatch(rf"{_COMMENT}(\d+)\.(\d+)", comment or ""):
        return int(recorded[1]), int(recorded[2])
    return detect(cursor, scripts)


def detect(cursor: "Cursor", scripts: dict[Version, Path]) -> Version:
    """The version of the newest script whose work is there."""
    return max(
        (version for version, path in scripts.items() if _has_run(cursor, path.read_text())),
        default=(0, 0),
    )


def create(cursor: "Cursor") -> None:
    """Make Koji's tables and first users, in the caller's transaction."""
    tables = (SCRIPTS / "schema.sql").read_text()
    cursor.execute(re.sub(r"^(BEGIN|COMMIT)( WORK)?;", "", tables, flags=re.MULTILINE))
    _add_users(cursor)
    record(cursor)


def _add_users(cursor: "Cursor") -> None:
    """Add Koji's first users to the tables of schema.sql."""
    creator = None
    for name, permission in USERS.items():
        # An enabled user (status 0) of the ordinary type (usertype 0).
        cursor.execute(
            "INSERT INTO users (name, status, usertype) VALUES (%s, 0, 0) RETURNING id", [name]
        )
        (user,) = cursor.fetchone() or (None,)
        creator = creator or user
        cursor.execute(
            "INSERT INTO user_perms (user_id, perm_id, creator_id)"
            " SELECT %s, id, %s FROM permissions WHERE name = %s",
            [user, creator, permission],
        )
        if cursor.rowcount != 1:
            raise LookupError(f"Koji's schema has no permission {permission!r}")


def record(cursor: "Cursor") -> None:
    """Note in a database that it has the schema of this image's Koji."""
    cursor.execute(f"COMMENT ON SCHEMA public IS '{_COMMENT}{text(max(upgrades()))}'")


def text(version: Version) -> str:
    return ".".join(map(str, version))


def _has_run(cursor: "Cursor", script: str) -> bool:
    """Whether the first table, index or column that a script creates is there, or else the first
    row."""
    if created := _CREATES.search(script):
        cursor.execute("SELECT to_regclass(%s) IS NOT NULL", [created[1]])
    elif added := _ADDS.search(script):
        cursor.execute(
            "SELECT EXISTS (SELECT FROM information_schema.columns"
            " WHERE table_name = %s AND column_name = %s)",
            [added[1], added[2]],
        )
    elif row := _INSERTS.search(script):
        table, column, value = row.groups()
        cursor.execute(f"SELECT EXISTS (SELECT FROM {table} WHERE {column} = %s)", [value])
    else:
        return False
    (answer,) = cursor.fetchone() or (False,)
    return bool(answer)
