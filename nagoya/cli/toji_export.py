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
from nagoya.system import kubernetes as manifests
from nagoya.system.compose import compose_file, not_carried_over
from nagoya.system.kubernetes_overlays import overlays
from nagoya.system.system import check_name

_HEADER = """\
# Written by `toji export compose` from {}. {}
# docs/compose.md of Nagoya says how clients get their certificates.
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
    """Write a system for docker compose or Kubernetes.

    \b
      toji export compose >compose.yml
      toji export kubernetes FOLDER
    """


@click.option(
    "--from", "registry", metavar="REGISTRY",
    help="Name the images by their digests in a registry, for machines that have none.",
)  # fmt: skip
@command
def compose(settings: Settings, registry: str | None) -> None:
    """Print a file for `docker compose`, which runs the same Koji without toji.

    Reads the file that -c names, else moromi.yml in this folder, else Nagoya's own. Needs an engine
    only with --from. Prints on stderr what moromi.yml declares and Compose cannot do.

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
    address = Address.parse(registry, declared.tag)
    with settings.progress() as progress:
        pushed = release.read(settings.engine, address, progress)
    pushed.require(container.image for container in declared.containers.values())
    return declared.with_images(pushed.images), f"The images are those of {pushed.pinned}."


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
    declared, note = settings.declaration, _LOCAL
    check_name(settings.system)
    base = folder / "base"
    if base.exists() and not _is_written_here(base):
        raise UsageError(
            f"{base} exists, and `toji export kubernetes` did not write it", "choose another folder"
        )
    facts = _facts(settings, declared)
    if registry:
        plain = declared
        declared, note = _from_registry(settings, registry)
        facts = {
            declared.containers[name].image: facts[container.image]
            for name, container in plain.containers.items()
        }
    header = _KUBERNETES_HEADER.format(declared.path, note)
    _write(base, manifests.base(declared, settings.system, facts), header)
    for name, files in overlays(declared, settings.system, facts).items():
        if not (folder / "overlays" / name).exists():
            _write(folder / "overlays" / name, files, header)
    for sentence in manifests.not_carried_over(declared):
        print(f"toji: {sentence}", file=sys.stderr)


def _facts(settings: Settings, declared: Declaration) -> Mapping[str, ImageFacts]:
    """What the images of the containers say, by their names."""
    names = {container.image for container in declared.containers.values()}
    return {
        name: ImageFacts.read(images.inspect(settings.engine, name)["Config"]) for name in names
    }


export.add_command(compose)
export.add_command(kubernetes)
