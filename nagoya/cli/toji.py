"""toji: runs systems of containers, as moromi.yml declares them."""

import click

from nagoya import __version__
from nagoya.cli import (
    toji_backup,
    toji_builder,
    toji_credentials,
    toji_doctor,
    toji_export,
    toji_inspect,
    toji_koji,
    toji_lifecycle,
    toji_snapshot,
    toji_status,
)
from nagoya.cli.common import (
    Program,
    config_option,
    debug_option,
    quiet_option,
    system_option,
    verbose_option,
)


@click.group(cls=Program, context_settings={"help_option_names": ["-h", "--help"]})
@config_option(
    "what the system was created from, but not for export and doctor; "
    "else moromi.yml in this folder, else nagoya"
)
@system_option
@quiet_option
@verbose_option
@debug_option
@click.version_option(__version__)
def cli() -> None:
    """Run Koji: a hub, its database, any number of builders.

    \b
      toji up                     create and start the system 'koji', wait until it is ready
      koji -p nagoya-koji hello   use the profile that toji wrote
      toji remove                 remove all of it again

    Systems live side by side, each with its own network, ports, profile and credentials:

    \b
      toji up --system second
    """


for _command in (
    toji_lifecycle.up, toji_lifecycle.init, toji_lifecycle.start, toji_lifecycle.stop,
    toji_lifecycle.restart,
    toji_lifecycle.remove, toji_lifecycle.scale, toji_status.list_, toji_status.status,
    toji_status.wait, toji_snapshot.snapshot, toji_snapshot.reset, toji_backup.backup,
    toji_backup.restore, toji_backup.upgrade, toji_koji.seed,
    toji_koji.verify, toji_koji.user, toji_credentials.credentials, toji_builder.builder,
    toji_inspect.logs,
    toji_inspect.exec_, toji_inspect.report, toji_doctor.doctor,
    toji_export.export,
):  # fmt: skip
    cli.add_command(_command)
