"""The commands of toji that write a system's declaration for other programs."""

import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import yaml

from nagoya.build import release
from nagoya.build.release import Address
from nagoya.cli.common import Settings, command
from nagoya.config.declaration import Declaration
from nagoya.engine import images
from nagoya.engine.image_facts import ImageFacts
from nagoya.errors import LifecycleError, UsageError
from nagoya.system import compose as project
from nagoya.system import kubernetes as manifests
from nagoya.system import swarm as stack
from nagoya.system.kubernetes_overlays import overlays
from nagoya.system.system import check_name

_HEADER = """\
# Written by `toji export compose` from {}. {}
# docs/{}.md of Nagoya says how clients get their certificates.
"""
_WRITTEN = "# Written by `toji export kubernetes`"
_KUBERNETES_HEADER = f"{_WRITTEN} from {{}}.\n# {{}}\n"
_LOCAL = "The images have to exist: `moromi build` makes them."


class _PlainDumper(yaml.SafeDumper):
    """Writes equal parts each time, and no references."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


@click.group()
def export() -> None:
    """Write a system for docker compose, Docker Swarm or Kubernetes.

    \b
      toji export compose >compose.yml
      toji export compose --swarm >stack.yml
      toji export kubernetes FOLDER
    """


@click.option(
    "--from", "registry", metavar="REGISTRY",
    help="Name the images by their digests in a registry, for machines that have none.",
)  # fmt: skip
@click.option("--swarm", is_flag=True, help="Print a stack for Docker Swarm, with its images' IDs.")
@command
def compose(settings: Settings, registry: str | None, swarm: bool) -> None:
    """Print a file for `docker compose`, which runs the same Koji without toji.

    Reads the file that -c names, else moromi.yml in this folder, else Nagoya's own. Needs an engine
    only with --from and --swarm. Prints on stderr what moromi.yml declares and the other program
    cannot do.

    \b
      toji export compose >compose.yml
      toji export compose --from registry.example.com/koji >compose.yml
      docker compose up --detach --wait
    \b
      toji export compose --swarm >stack.yml
      docker stack deploy --compose-file stack.yml koji
    """
    declared, note = settings.declaration, _LOCAL
    check_name(settings.system)
    if swarm:
        declared, note, facts = _with_facts(settings, registry, pinned=True)
        document = stack.stack_file(declared, settings.system, facts)
        sentences, page = stack.not_carried_over(declared), "swarm"
    else:
        if registry:
            declared, note = _from_registry(settings, registry)
        document = project.compose_file(declared, settings.system)
        sentences, page = project.not_carried_over(declared), "compose"
    print(_HEADER.format(declared.path, note, page), end="")
    print(yaml.dump(document, Dumper=_PlainDumper, sort_keys=False), end="")
    for sentence in sentences:
        print(f"toji: {sentence}", file=sys.stderr)


def _from_registry(settings: Settings, registry: str) -> tuple[Declaration, str]:
    """The declaration with the images of a release, and a sentence that says so."""
    declared = settings.declaration
    address = Address.parse(registry, declared.tag)
    with settings.progress() as progress:
        pushed = release.read(settings.engine, address, progress)
    pushed.require(container.image for container in declared.containers.values())
    return declared.with_images(pushed.images), f"The images are those of {pushed.pinned}."


def _with_facts(
    settings: Settings, registry: str | None, *, pinned: bool = False
) -> tuple[Declaration, str, Mapping[str, ImageFacts]]:
    """The declaration, a sentence on its images, and what these say, by their names.

    With `pinned` images that are from no registry are named by their IDs: Swarm asks Docker Hub for
    all others, and a deployment sees that they are new.
    """
    declared, note = settings.declaration, _LOCAL
    names = {container.image for container in declared.containers.values()}
    descriptions = {name: images.inspect(settings.engine, name) for name in names}
    facts = {name: ImageFacts.read(image["Config"]) for name, image in descriptions.items()}
    if registry:
        changed, note = _from_registry(settings, registry)
    elif pinned:
        changed = declared.with_images({name: image["Id"] for name, image in descriptions.items()})
    else:
        return declared, note, facts
    return (
        changed,
        note,
        {
            changed.containers[name].image: facts[container.image]
            for name, container in declared.containers.items()
        },
    )


def _is_written_here(folder: Path) -> bool:
    try:
        return (folder / "kustomization.yaml").read_text().startswith(_WRITTEN)
    except (OSError, UnicodeDecodeError):
        return False


def _write(folder: Path, files: manifests.Files, header: str) -> None:
    """Write a folder as a whole, in place of the former one."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".export-") as name:
            new = Path(name, folder.name)
            new.mkdir()
            for file, documents in files.items():
                text = yaml.dump_all(documents, Dumper=_PlainDumper, sort_keys=False)
                (new / file).write_text(header + text)
            if folder.exists():
                folder.rename(Path(name, "former"))
            new.rename(folder)
    except OSError as error:
        raise LifecycleError(
            f"{folder} cannot be written: {error.strerror}",
            "make space, or choose another folder",
        ) from error


@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option(
    "--from", "registry", metavar="REGISTRY",
    help="Name the images by their digests in a registry, for nodes that have none.",
)  # fmt: skip
@command
def kubernetes(settings: Settings, folder: Path, registry: str | None) -> None:
    """Write a Kustomize base and overlays to a folder; the images have to exist here.

    The base is written again each time; an overlay that exists is left unchanged, since you may
    have edited it. Reads the file that -c names, else moromi.yml in this folder, else Nagoya's own.
    Prints on stderr what moromi.yml declares and Kubernetes cannot do.

    \b
      toji export kubernetes --from registry.example.com/koji koji
      kubectl apply -k koji/base
    """
    check_name(settings.system)
    base = folder / "base"
    if base.exists() and not _is_written_here(base):
        raise UsageError(
            f"{base} exists, and `toji export kubernetes` did not write it", "choose another folder"
        )
    declared, note, facts = _with_facts(settings, registry)
    header = _KUBERNETES_HEADER.format(declared.path, note)
    _write(base, manifests.base(declared, settings.system, facts), header)
    for name, files in overlays(declared, settings.system, facts).items():
        if not (folder / "overlays" / name).exists():
            _write(folder / "overlays" / name, files, header)
    for sentence in manifests.not_carried_over(declared):
        print(f"toji: {sentence}", file=sys.stderr)


export.add_command(compose)
export.add_command(kubernetes)
