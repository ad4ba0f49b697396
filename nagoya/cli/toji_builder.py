"""The commands of toji about builders, those on other machines among them."""

from dataclasses import asdict
from pathlib import Path

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
from nagoya.cli.output import writing
from nagoya.koji import bundles
from nagoya.koji.hosts import read_hosts
from nagoya.koji.hub import hub_errors


@click.group()
def builder() -> None:
    """Add builders on other machines, and list all.

    \b
      toji builder bundle far -o far.json
      toji builder list
    """


@click.option(
    "-o", "--output", "file", required=True, metavar="FILE",
    type=click.Path(dir_okay=False, allow_dash=True, path_type=Path),
    help="The new file, which only you can read; `-` is stdout.",
)  # fmt: skip
@click.option(
    "--url", metavar="URL",
    help="The hub as the other machine reaches it, such as https://koji.example.com.  "
    "[default: that of the koji client's profile]",
)  # fmt: skip
@click.argument("name")
@command
def bundle(settings: Settings, name: str, file: Path, url: str | None) -> None:
    """Write what a builder on another machine needs to FILE.

    It holds the key and the certificate of the builder NAME, the authority's certificate, and the
    hub's URL: keep it secret. docs/builders-elsewhere.md has the command that runs the builder.

    \b
      toji builder bundle far -o far.json
      toji builder bundle far -o - | ssh far 'umask 077; cat >far.json'
    """
    with writing(file, "bundle", f"toji builder bundle {name} -o FILE") as stream:
        stream.write(on_system(settings, lambda system: bundles.make(system, name, url)))


@json_option
@command
def list_(settings: Settings, as_json: bool) -> None:
    """List the builders that the hub knows, and their channels.

    Those without a container of the system are on other machines, or were removed.

    \b
      toji builder list
      toji builder list --json
    """
    system = quiet_system(settings)
    with hub_errors():
        hosts = read_hosts(system)
    if as_json:
        print_json(system=system.name, builders=[asdict(host) for host in hosts])
        return
    table = new_table("builder", "container", "enabled", "arches", "channels", "checked in")
    for host in hosts:
        yes = ["yes" if value else "no" for value in (host.container, host.enabled)]
        update = "never" if host.seconds is None else f"{host.seconds:.0f} s ago"
        table.add_row(host.name, *yes, ", ".join(host.arches), ", ".join(host.channels), update)
    print_table(table)


for _command in (bundle, list_):
    builder.add_command(_command)
