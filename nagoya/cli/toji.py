"""toji: runs systems of containers, as moromi.yml declares them."""

import click

from nagoya import __version__
from nagoya.cli import toji_inspect, toji_koji, toji_lifecycle, toji_snapshot, toji_status
from nagoya.cli.common import (
    config_option,
    debug_option,
    quiet_option,
    run,
    system_option,
    verbose_option,
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@config_option
@system_option
@quiet_option
@verbose_option
@debug_option
@click.version_option(__version__)
def cli() -> None:
    """Run Koji: a hub, its database, any number of builders.

    \b
      toji init                   make and start the system 'koji'
      toji wait                   until hub and builders do what they are for
      koji -p nagoya-koji hello   the profile that toji wrote
      toji remove                 take everything away again

    Systems live side by side, each with its own network, ports, profile and credentials:

    \b
      toji init --system second
    """


_commands = [
    command
    for module in (toji_lifecycle, toji_status, toji_snapshot, toji_koji, toji_inspect)
    for command in vars(module).values()
    if isinstance(command, click.Command)
]
_groups = [command for command in _commands if isinstance(command, click.Group)]
for _command in _commands:
    if not any(_command in group.commands.values() for group in _groups):
        cli.add_command(_command)


def main() -> None:
    """The program `toji`."""
    run("toji", cli)
