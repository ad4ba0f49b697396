"""The commands of toji that list, issue, renew and revoke certificates."""

from collections.abc import Callable
from typing import Any

import click

from nagoya.cli.common import (
    Settings,
    command,
    json_option,
    new_table,
    on_system,
    print_json,
    print_table,
    quiet_system,
)
from nagoya.errors import UsageError
from nagoya.koji import certificates, users
from nagoya.koji import credentials as kept
from nagoya.system.system import System, require_system


def _names(metavar: str, *, required: bool = False) -> Callable[[Any], Any]:
    """An argument of names, each of which is passed once."""

    def distinct(_: click.Context, __: click.Parameter, names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(names))

    return click.argument("names", nargs=-1, required=required, metavar=metavar, callback=distinct)


@click.group()
def credentials() -> None:
    """List, issue, renew and revoke certificates.

    Koji's parts, its builders and its users log in with certificates of the system's own authority.
    They are valid for 825 days. `toji status` and `toji wait` warn 30 days before one expires; a
    builder renews its own.

    \b
      toji credentials list
      toji credentials renew
      toji credentials revoke alice
    """


@json_option
@command
def list_(settings: Settings, as_json: bool) -> None:
    """List certificates, their expiry dates, and revocations.

    \b
      toji credentials list
      toji credentials list --json
    """
    system = quiet_system(settings)
    kept.authority_of(system)  # without it the list would be incomplete
    rows = certificates.read_certificates(require_system(system.engine, system.name))
    if as_json:
        fields = ("name", "kind", "state", "days", "expires", "serial")
        print_json(
            system=system.name,
            certificates=[{field: getattr(row, field) for field in fields} for row in rows],
        )
        return
    table = new_table("name", "kind", "state", "expires", "in")
    for row in rows:
        table.add_row(row.name, row.kind, row.state, f"{row.expires:%Y-%m-%d}", f"{row.days} d")
    print_table(table)


@_names("NAME...", required=True)
@command
def issue(settings: Settings, names: tuple[str, ...]) -> None:
    """Issue certificates for users.

    Their files are written beside kojiadmin's. This makes no account: `toji user` makes both. A
    valid certificate is left unchanged, an expired one is renewed. After a revocation the user gets
    another key.

    \b
      toji credentials issue alice
    """
    for name in names:
        users.check_name(name)

    def verb(system: System) -> list[str]:
        present = require_system(system.engine, system.name)
        for name in names:
            users.check_name(name, present)
        return kept.issue(system, names)

    issued = on_system(settings, verb)
    _print("issued", issued, "nothing was issued: each has a valid certificate")


@_names("[NAME...]")
@click.option("--all", "everything", is_flag=True, help="Renew those of all users and parts.")
@command
def renew(settings: Settings, names: tuple[str, ...], everything: bool) -> None:
    """Renew certificates. Without NAME, those that expire within 60 days or have expired.

    Keys stay the same, sessions and builds go on, and the hub, kojiweb and the database use the new
    certificates at once. Users' files on this machine are written again. Builders renew theirs
    themselves.

    \b
      toji credentials renew
      toji credentials renew alice
      toji credentials renew --all
    """
    if names and everything:
        raise UsageError("use either --all or names")
    renewed = on_system(settings, lambda system: kept.renew(system, names, everything=everything))
    _print("renewed", renewed, "nothing is due; `toji credentials renew --all` renews all")


@_names("NAME...", required=True)
@command
def revoke(settings: Settings, names: tuple[str, ...]) -> None:
    """Revoke certificates. The hub and kojiweb refuse them at once, and sessions end.

    A part of Koji, or kojiadmin, gets another key and certificate at once if its own is revoked. A
    user gets another by `toji credentials issue`, a builder by `toji up --recreate`. Everybody has
    to log in to kojiweb again.

    \b
      toji credentials revoke alice
    """
    on_system(settings, lambda system: kept.revoke(system, names))
    _print("revoked", names, "")


@click.option("--retire", is_flag=True, help="End the trust in the former authority.")
@command
def rotate(settings: Settings, retire: bool) -> None:
    """Replace the authority that issues certificates.

    The new one issues certificates from now on: users, kojiadmin and the system's builders get
    theirs at once, remote builders within a day. Both are trusted, so the former certificates stay
    valid, and the hub goes on showing its own to clients that know only the former authority. Copy
    koji_ca_cert.crt to these clients, then retire the former authority with --retire: its
    certificates are invalid from then on.

    \b
      toji credentials rotate
      toji credentials rotate --retire
    """
    renewed = on_system(settings, kept.retire if retire else kept.rotate)
    nothing = (
        "there is no former authority to retire"
        if retire
        else "the former authority is not retired yet; --retire does that"
    )
    _print("renewed", renewed, nothing)


def _print(verb: str, names: list[str] | tuple[str, ...], nothing: str) -> None:
    print(f"{verb}: {', '.join(names)}" if names else nothing)


for _command in (list_, issue, renew, revoke, rotate):
    credentials.add_command(_command)
