"""The commands of toji that write a system's declaration for other programs."""

import sys

import click
import yaml

from nagoya.build import release
from nagoya.build.release import Address
from nagoya.cli.common import Settings, command
from nagoya.config.declaration import Declaration
from nagoya.system.compose import compose_file, not_carried_over
from nagoya.system.system import check_name

_HEADER = """\
# Written by `toji export compose` from {}. {}
# docs/compose.md of Nagoya says how clients get their certificates.
"""
_LOCAL = "The images have to exist: `moromi build` makes them."


@click.group()
def export() -> None:
    """Print the declaration of a system for programs other than toji.

    \b
      toji export compose >compose.yml
    """


@click.option(
    "--from", "registry", metavar="REGISTRY",
    help="Name the images by their digests in a registry, for machines that have none.",
)  # fmt: skip
@command
def compose(settings: Settings, registry: str | None) -> None:
    """Print a file for `docker compose`, which runs the same Koji without toji.

    An engine is needed only with --from. On stderr: what of moromi.yml Compose cannot do.

    \b
      toji export compose >compose.yml
      toji export compose --from registry.example.com/koji >compose.yml
      docker compose up --detach --wait
    """
    declared, note = settings.declaration, _LOCAL
    check_name(settings.system)
    if registry:
        declared, note = _from_registry(settings, registry)
    print(_HEADER.format(declared.path, note), end="")
    print(yaml.safe_dump(compose_file(declared, settings.system), sort_keys=False), end="")
    for sentence in not_carried_over(declared):
        print(f"toji: {sentence}", file=sys.stderr)


def _from_registry(settings: Settings, registry: str) -> tuple[Declaration, str]:
    """The declaration with the images of a release, and a sentence that says so."""
    declared = settings.declaration
    with settings.progress() as progress:
        found = release.read(settings.engine, Address.parse(registry, declared.tag), progress)
    found.require(container.image for container in declared.containers.values())
    return declared.with_images(found.images), f"The images are those of {found.pinned}."


export.add_command(compose)
