"""What toji does with the Koji in a system: it is filled, gets users, and proves that it builds."""

from pathlib import Path

import click

from nagoya.cli.common import Settings, command, on_system
from nagoya.koji import users
from nagoya.koji.hub import HubConnection
from nagoya.koji.seed import apply_seed, read_seed
from nagoya.koji.verify import Built, verify_builds
from nagoya.system.system import System


@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@command
def seed(settings: Settings, file: Path) -> None:
    """Fill the hub with what FILE declares: tags, targets, users, policies, builds.

    What is so already stays as it is. docs/seed.md says what may stand in the file.

    \b
      toji seed demo/seed.yml
    """
    wanted = read_seed(file)
    on_system(settings, lambda system: apply_seed(system, wanted))


@command
def verify(settings: Settings) -> None:
    """Prove that the system builds RPMs: seed it, build from a source RPM and from git, check.

    Each step is told with the seconds that it took.

    \b
      toji verify
    """
    built: list[Built] = []
    on_system(settings, lambda system: built.extend(verify_builds(system)))
    for one in built:
        print(f"{one.rpm.nvr}.{one.rpm.arch}  built by task {one.task}: {one.url}")


@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@command
def user(settings: Settings, names: tuple[str, ...]) -> None:
    """Let users log in: an account on the hub each, and a certificate beside kojiadmin's.

    Those who can already keep what they have. `koji grant-permission` says what they may do.

    \b
      toji user alice
    """

    def verb(system: System) -> None:
        for name in names:
            certificate = users.add(system, name)
            system.progress.log(
                f"koji -p {HubConnection.to(system.name, system.owner.home).profile} "
                f"--cert={certificate} hello"
            )

    on_system(settings, verb)
