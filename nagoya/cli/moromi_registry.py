"""The commands of moromi that push images to a registry and pull them."""

import click

from nagoya.build.pull import pull as pull_images
from nagoya.build.push import Push
from nagoya.build.release import Address
from nagoya.build.steps import BuildOptions
from nagoya.cli.common import Settings, arguments_option, command, names_argument


@names_argument
@click.argument("registry")
@arguments_option
@command
def push(
    settings: Settings, registry: str, names: tuple[str, ...], arguments: dict[str, str]
) -> None:
    """Push images to a registry, all or those named.

    The images that they are built from are pushed too; those that `moromi build` would build again
    are refused. The last line of the output is a reference that pins all of them, for `moromi pull`
    and `toji up --from`.

    \b
      docker login registry.example.com
      moromi push registry.example.com/koji
      moromi push registry.example.com/koji demo

    The reference is that of an image, which also contains a bill of materials and the provenance of
    each: see docs/registry.md.
    """
    options = BuildOptions(arguments)
    address = Address.parse(registry, settings.declaration.tag)
    with settings.progress() as progress:
        pushed = Push(
            settings.engine, settings.declaration, address, names,
            options=options, progress=progress,
        ).run()  # fmt: skip
    print(pushed)


@names_argument
@click.argument("registry")
@command
def pull(settings: Settings, registry: str, names: tuple[str, ...]) -> None:
    """Pull images from a registry, all or those named.

    The images that they are built from are pulled too. All get the names that moromi.yml gives
    them, so that `toji up` starts them, and `moromi build` builds only what differs. REGISTRY is
    what was pushed to, or the reference that `moromi push` printed; that is printed here too.

    \b
      moromi pull registry.example.com/koji
      moromi pull registry.example.com/koji/moromi@sha256:1f6c...
    """
    address = Address.parse(registry, settings.declaration.tag)
    with settings.progress() as progress:
        pulled = pull_images(settings.engine, settings.declaration, address, names, progress)
    print(pulled)
