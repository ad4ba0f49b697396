"""The commands of toji about builders that no container of the system is."""

from pathlib import Path

import click

from nagoya.cli.common import Settings, command, on_system
from nagoya.cli.output import writing
from nagoya.koji import bundles


@click.group()
def builder() -> None:
    """Add builders on other machines.

    \b
      toji builder bundle far -o far.json
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


builder.add_command(bundle)
