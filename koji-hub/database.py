"""How the hub connects to PostgreSQL: to koji-database beside it, or to one that is a site's own.

All parameters are those of libpq, PostgreSQL's client library, to which Koji passes them on. In a
database of the site's own the hub makes Koji's tables if there are none, and checks them if there
are: their version, its rights on them, the users that it needs.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

import psycopg2
from psycopg2 import errors
from psycopg2.extensions import connection as Connection
from psycopg2.extensions import cursor as Cursor
from psycopg2.extensions import make_dsn, parse_dsn

from util import credentials, entry, files, schema
from util.environment import Environment

HOST, URL, PASSWORD = "KOJI_DATABASE_HOST", "KOJI_DATABASE_URL", "KOJI_DATABASE_PASSWORD"
OWN = "kojidatabase"
FORM = "postgresql://ROLE@HOST/DATABASE?sslrootcert=FILE"
AUTHORITY = Path("/") / credentials.FOLDER / "koji_ca_cert.crt"
HUB = Path("/") / credentials.FOLDER / "kojihub.pem"

DEFAULTS = {
    "user": "koji",
    "dbname": "koji",
    "port": "5432",
    "sslmode": "verify-full",
    "connect_timeout": "5",
    # A hub that waits for an answer from a database that is gone must notice.
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
}
# Parameters of libpq that name files.
FILES = ("sslrootcert", "sslcert", "sslkey", "sslcrl")
VERIFYING = ("verify-full", "verify-ca")

# What PostgreSQL and libpq say of mistakes that no waiting mends, and what to do.
REFUSALS = {
    "no password supplied": f"name a file with the role's password in {PASSWORD}_FILE",
    "password authentication failed": f"correct the password in the file that {PASSWORD}_FILE "
    "names, or that of the role",
    "client certificate": "the server has to take the hub's certificate, whose name is kojihub: "
    "ssl_ca_file, pg_hba.conf and pg_ident.conf, as in docs/postgresql.md; or name a file with a "
    f"password in {PASSWORD}_FILE",
    "certificate authentication failed": "map the certificate's name to the role in pg_ident.conf",
    "no pg_hba.conf entry": "add a line for this host, database and role to pg_hba.conf",
    "pg_hba.conf rejects": "change the line for this host, database and role in pg_hba.conf",
    "certificate verify failed": "sslrootcert has to be the authority that signed the server's "
    "certificate",
    "does not match host name": "call the server by a name that is in its certificate",
    "server does not support SSL": "turn TLS on in postgresql.conf, with ssl, ssl_cert_file and "
    "ssl_key_file",
    'role "': "create it: `createuser --pwprompt ROLE`",
    "permission denied for database": "let the role connect: `GRANT CONNECT ON DATABASE`",
    'database "': "create it, with the role as its owner: `createdb --owner=ROLE DATABASE`",
}


@dataclass(frozen=True)
class Database:
    """Parameters of libpq, as the environment sets them. `external`: not koji-database's."""

    parameters: Mapping[str, str]
    external: bool
    password: str | None = field(default=None, repr=False)

    @classmethod
    def read(cls, environment: Environment, root: Path) -> Self:
        """Read the variables; what is wrong is noted there."""
        host, url = environment.text(HOST, OWN), environment.text(URL, "")
        password = environment.secret(PASSWORD)
        if not url:
            if not re.fullmatch(r"[A-Za-z0-9.-]+", host):
                environment.wrong(HOST, f"{host!r} is not a host name")
            if password is not None:
                environment.wrong(f"{PASSWORD}_FILE", f"is for a database that {URL} names")
            own = {"host": host, "sslrootcert": AUTHORITY, "sslcert": HUB, "sslkey": HUB}
            return cls({**DEFAULTS, **{name: str(value) for name, value in own.items()}}, False)
        if environment.text(HOST, ""):
            environment.wrong(HOST, f"{URL} is set too; set one of the two")
        if password is not None and (not password or not password.isprintable()):
            environment.wrong(f"{PASSWORD}_FILE", "it is empty, or has more than one line")
        named = _parse(environment, url)
        parameters = DEFAULTS | named
        if not named:
            return cls(parameters, True, password)
        if password is None:
            parameters.setdefault("sslcert", str(HUB))
        if certificate := parameters.get("sslcert"):
            parameters.setdefault("sslkey", certificate)
        if "sslrootcert" not in parameters and parameters["sslmode"] in VERIFYING:
            environment.wrong(
                URL, "add sslrootcert=FILE, the authority that signed the server's certificate"
            )
        for name, path in _paths(parameters).items():
            if not path.is_absolute() or not (root / path.relative_to("/")).is_file():
                environment.wrong(URL, f"{name}: there is no file {path}")
        return cls(parameters, True, password)

    def __str__(self) -> str:
        if not self.external:
            return f"the database at {self.parameters['host']}:5432"
        return "the database {dbname} at {host}:{port}".format_map(self.parameters)

    @property
    def hint(self) -> str:
        """What to do if it does not answer."""
        if not self.external:
            return (
                "start koji-database on the same network under that name, "
                f"or set {HOST} to the name it has"
            )
        return f"start it, or correct its address in {URL}"

    def address(self, root: Path, folder: Path, user: str) -> str:
        """The connection string for `user`, who gets copies of its files in `folder`: of keys
        libpq takes only those that are private."""
        copies: dict[Path, Path] = {}
        for name, path in _paths(self.parameters).items():
            if path not in copies:
                # Once: if key and certificate are one file, both have to be of the same age.
                copies[path] = Path("/") / folder / f"database.{name}"
                target = root / copies[path].relative_to("/")
                files.private_copy(root / path.relative_to("/"), target, user)
        parameters = dict(self.parameters)
        parameters |= {
            name: str(root / copies[path].relative_to("/"))
            for name, path in _paths(self.parameters).items()
        }
        if self.password is not None:
            passwords = root / folder / "database.passfile"
            escaped = re.sub(r"([\\:])", r"\\\1", self.password)
            files.write(passwords, f"*:*:*:*:{escaped}\n", mode=0o400, owner=user)
            parameters["passfile"] = str(passwords)
        return str(make_dsn(**parameters))

    def ask(self, address: str) -> None:
        """Return when Koji's tables can be used. Raises psycopg2.Error if that may change, and
        Fatal if it does not."""
        with self._connected(address) as connection, connection.cursor() as cursor:
            if not self.external:
                cursor.execute("SELECT count(*) FROM users")
                return
            try:
                self._prepare(cursor)
            except (errors.InsufficientPrivilege, errors.InvalidSchemaName) as error:
                raise entry.Fatal(
                    f"{self} cannot be used: {error.diag.message_primary}",
                    hint="make the role the owner of the database: `ALTER DATABASE … OWNER TO …`",
                ) from error

    @contextmanager
    def _connected(self, address: str) -> Iterator[Connection]:
        try:
            connection = psycopg2.connect(address)
        except psycopg2.OperationalError as error:
            text = " ".join(str(error).partition("\npassword retrieved from file")[0].split())
            for part, hint in REFUSALS.items() if self.external else ():
                if part in text:
                    raise entry.Fatal(f"{self} cannot be used: {text}", hint=hint) from error
            raise
        # Everything is done, or nothing.
        with closing(connection), connection:
            yield connection

    def _prepare(self, cursor: Cursor) -> None:
        # Several hubs may start at once.
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext('schema of Koji'))")
        cursor.execute(
            "SELECT to_regclass('rpminfo') IS NOT NULL, (SELECT count(*) FROM pg_class"
            " WHERE relkind = 'r' AND relnamespace::regnamespace::text = current_schema())"
        )
        (has_koji, tables) = cursor.fetchone() or (False, 0)
        if not has_koji:
            if tables:
                raise entry.Fatal(
                    f"{self} has tables, and none of Koji's",
                    hint="give Koji a database of its own",
                )
            schema.create(cursor)
            entry.log(f"made Koji's tables in {self} with {', '.join(schema.USERS)} as users")
            return
        self._check(cursor)

    def _check(self, cursor: Cursor) -> None:
        scripts = schema.upgrades()
        # Whoever runs the scripts by hand does not record it.
        version = max(schema.version_of(cursor, scripts), schema.detect(cursor, scripts))
        if lacking := schema.pending(scripts, version):
            names = ", ".join(path.name for path in lacking.values())
            raise entry.Fatal(
                f"{self} has the schema of Koji {schema.text(version)}, and this hub needs that of "
                f"{schema.text(max(scripts))}",
                hint="back it up, and run those of Koji's scripts that were not run on it: "
                f"{names}; they are in {schema.SCRIPTS} of this image",
            )
        cursor.execute(
            "SELECT string_agg(relname, ', ' ORDER BY relname) FROM pg_class"
            " WHERE relkind = 'r' AND relnamespace ="
            " (SELECT relnamespace FROM pg_class WHERE oid = to_regclass('rpminfo')) AND NOT ("
            " has_table_privilege(oid, 'SELECT') AND has_table_privilege(oid, 'INSERT')"
            " AND has_table_privilege(oid, 'UPDATE') AND has_table_privilege(oid, 'DELETE'))"
        )
        (forbidden,) = cursor.fetchone() or (None,)
        if forbidden:
            raise entry.Fatal(
                f"{self}: the role {self.parameters['user']} may not read and write the tables "
                f"{forbidden}",
                hint="make the role their owner: `REASSIGN OWNED BY … TO …`",
            )
        cursor.execute("SELECT name FROM users WHERE name = ANY(%s)", [list(schema.USERS)])
        if missing := sorted(schema.USERS.keys() - {name for (name,) in cursor.fetchall()}):
            raise entry.Fatal(
                f"{self} has no user {' and no user '.join(missing)}, whose certificates this "
                "system uses",
                hint="add them with the statements in docs/postgresql.md",
            )


def _parse(environment: Environment, url: str) -> dict[str, str]:
    """The parameters in a URL. Nothing that may hold a password is part of an error."""
    address = urlsplit(url)
    if address.scheme not in ("postgresql", "postgres"):
        environment.wrong(URL, f"it is not of the form {FORM}")
        return {}
    if address.password is None:
        try:
            parameters: dict[str, str] = parse_dsn(url)
        except psycopg2.ProgrammingError as error:
            environment.wrong(URL, " ".join(str(error).split()))
            return {}
        if "password" not in parameters:
            if "host" not in parameters:
                environment.wrong(URL, f"the host is missing in {FORM}")
            return parameters
    environment.wrong(
        URL, f"it holds a password; put that into a file, and name it in {PASSWORD}_FILE"
    )
    return {}


def _paths(parameters: Mapping[str, str]) -> dict[str, Path]:
    """The files that parameters name. `system` is libpq's word for the machine's authorities."""
    return {
        name: Path(parameters[name]) for name in FILES if parameters.get(name, "system") != "system"
    }
