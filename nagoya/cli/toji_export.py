"""The commands of toji that write a system's declaration for other programs."""

import sys

import click
import yaml

from nagoya.cli.common import Settings, command
from nagoya.system.compose import compose_file, not_carried_over
from nagoya.system.system import check_name

_HEADER = """\
# Written by `toji export compose` from {}. The images have to exist: `moromi build` makes
# them. docs/compose.md of Nagoya says how clients get their certificates.
"""


@click.group()
def export() -> None:
    """Print the declaration of a system for programs other than toji.

    \b
      toji export compose >compose.yml
    """


@command
def compose(settings: Settings) -> None:
    """Print a file for `docker compose`, which runs the same Koji without toji.

    No engine is needed. On stderr: what of moromi.yml Compose cannot do.

    \b
      toji export compose >compose.yml
      docker compose up --detach --wait
    """
    declared = settings.declaration
    check_name(settings.system)
    print(_HEADER.format(declared.path), end="")
    print(yaml.safe_dump(compose_file(declared, settings.system), sort_keys=False), end="")
    for sentence in not_carried_over(declared):
        print(f"toji: {sentence}", file=sys.stderr)


export.add_command(compose)
