"""Read moromi.yml in two phases: the form of every key, then what the values refer to.

Each phase reports all its problems at once, each with its path, as in `containers.koji.links[0]:
unknown container 'x'`.
"""

from collections.abc import Collection, Iterator
from pathlib import Path

from pydantic import ValidationError

from nagoya import __version__
from nagoya.config import callbacks, extends
from nagoya.config.declaration import Declaration, callback_folders
from nagoya.config.extends import INSTALLED, MergedConfig
from nagoya.config.model import Container, MoromiFile, SystemImages
from nagoya.config.tags import untagged, with_tag
from nagoya.config.validation import describe_errors
from nagoya.config.values import Port
from nagoya.errors import DeclarationError, did_you_mean
from nagoya.utils.graph import Cycle, waves
from nagoya.utils.lock import cache_folder


def locate(path: Path | None) -> Path:
    """The moromi.yml to use: `path`, which may be a name of Nagoya's own, else this folder's, else
    Nagoya's own."""
    here = Path(extends.FILE)
    if path is not None:
        return extends.resolve(str(path), Path())
    return here if here.exists() else extends.shipped()


def read(path: Path, tag: str | None = None) -> Declaration:
    """Read and validate a moromi.yml; `tag` takes the place of the file's own. Raises
    DeclarationError with every problem of a phase."""
    config = extends.read(path)
    file = _validate(config)
    file = with_tag(file.model_copy(update={"tag": tag or file.tag}))
    folders = {name: config.folder("sources", name) for name in file.sources}
    # An installed package should not be written to.
    cache = cache_folder() / __version__
    return Declaration(
        files=config.files,
        tag=file.tag,
        base=file.base,
        sources={n: source.relative_to(folders[n]) for n, source in file.sources.items()},
        images=file.images,
        containers=file.containers,
        source_dirs={
            name: cache / folder.relative_to(INSTALLED)
            if folder.is_relative_to(INSTALLED)
            else folder
            for name, folder in folders.items()
        },
        contexts={name: config.folder("images", untagged(name, file.tag)) for name in file.images},
        system_files={
            name: _system_file(config, name, image.system)
            for name, image in file.images.items()
            if image.system
        },
    )


def read_system(declaration: Declaration, image: str) -> Declaration:
    """The declaration whose containers are started to make images. Raises DeclarationError.

    They are started from images of the same tag, unless the entry names a file, which has its own.
    """
    path, system = declaration.system_files[image], declaration.images[image].system
    if path == declaration.path:
        return declaration
    try:
        return read(path, None if system and system.containers else declaration.tag)
    except DeclarationError as error:
        problems = [f"{path}: {problem}" for problem in error.problems]
        raise DeclarationError(str(declaration.path), problems) from None


def _validate(config: MergedConfig, *, references: bool = True) -> MoromiFile:
    file, problems = _find_problems(config, references=references)
    if file is None or problems:
        raise DeclarationError(str(config.files[0]), list(_with_origins(problems, config)))
    return file


def _find_problems(
    config: MergedConfig, *, references: bool = True
) -> tuple[MoromiFile | None, list[str]]:
    try:
        file = MoromiFile.model_validate(config.raw)
    except ValidationError as error:
        return None, describe_errors(error, MoromiFile)
    return file, list(_check_references(file, config)) if references else []


def _with_origins(problems: Collection[str], config: MergedConfig) -> Iterator[str]:
    """Problems, each preceded by the file that causes it, unless that is the first one. It is the
    last file of the chain that, merged with those it extends, has the problem."""
    chain, extended = [], config.extended
    while extended:
        chain.append((extended.files[0], set(_find_problems(extended)[1])))
        extended = extended.extended
    for problem in problems:
        cause = None
        for file, its_problems in chain:
            if problem not in its_problems:
                break
            cause = file
        yield f"{cause}: {problem}" if cause else problem


def _system_file(config: MergedConfig, image: str, system: SystemImages) -> Path:
    file = config.file("images", image)
    return extends.resolve(system.containers, file.parent).resolve() if system.containers else file


def _check_references(file: MoromiFile, config: MergedConfig) -> Iterator[str]:
    """Every name or path that leads nowhere, or is already taken."""
    for name, image in file.images.items():
        folder = config.folder("images", name)
        dockerfile = folder / (image.folder or name) / "Dockerfile"
        if image.system:
            for problem in _check_system_images(file, config, name, image.system):
                yield f"images.{name}.system.{problem}"
        elif not dockerfile.is_file():
            yield f"images.{name}: the folder {image.folder or name}/ has no Dockerfile"
    yield from _check_duplicate_outputs(file)
    for name, source in file.sources.items():
        if source.path and not (folder := config.folder("sources", name) / source.path).is_dir():
            fault = "not a folder" if folder.exists() else "no such folder"
            yield f"sources.{name}.path: {fault}: {source.path}"
    for name, container in file.containers.items():
        for problem in _check_container(container, file):
            yield f"containers.{name}.{problem}"
        for event, names in container.callbacks.items():
            for index, callback in enumerate(names):
                if text := callbacks.find_problem(callback, callback_folders(config.files)):
                    yield f"containers.{name}.callbacks.{event}[{index}]: {text}"
    yield from _check_host_ports(file)
    try:
        waves({name: container.needs for name, container in file.containers.items()})
    except Cycle as cycle:
        yield f"containers: circular dependency: {cycle}"


def _image_names(file: MoromiFile) -> list[str]:
    """Every image that the entries of a file make."""
    return [output for name, image in file.images.items() for output in image.outputs or (name,)]


def _check_duplicate_outputs(file: MoromiFile) -> Iterator[str]:
    makers = {name: f"images.{name}" for name, image in file.images.items() if not image.system}
    for name, image in file.images.items():
        for key in ("commit", "persist") if image.system else ():
            for container, output in getattr(image.system, key).items():
                where = f"images.{name}.system.{key}.{container}"
                if makers.setdefault(output, where) != where:
                    yield f"{where}: the image '{output}' is already made by {makers[output]}"


def _check_system_images(
    file: MoromiFile, config: MergedConfig, name: str, system: SystemImages
) -> Iterator[str]:
    folder = config.folder("images", name)
    path = _system_file(config, name, system)
    started = file
    if path != config.files[0]:
        try:
            started = _validate(extends.read(path), references=False)
        except DeclarationError as error:
            yield from (f"containers: {path}: {problem}" for problem in error.problems)
            return
    references = {f"{key}.{x}": x for key in ("commit", "persist") for x in getattr(system, key)}
    if system.seed is not None and not (folder / system.seed).is_file():
        yield f"seed: no such file: {system.seed}"
    if system.root is not None:
        yield from _unknown(
            "root.image", "image", system.root.image, _image_names(file) + _image_names(started)
        )
        if system.root.files is not None and not (folder / system.root.files).is_dir():
            yield f"root.files: no such folder: {system.root.files}"
        for index, volumes in enumerate(system.root.volumes_from):
            references[f"root.volumes_from[{index}]"] = volumes.container
    for where, container in references.items():
        yield from _unknown(where, "container", container, started.containers)


def _check_container(container: Container, file: MoromiFile) -> Iterator[str]:
    yield from _unknown("image", "image", container.image, _image_names(file))
    for index, volumes in enumerate(container.volumes_from):
        yield from _unknown(
            f"volumes_from[{index}]", "container", volumes.container, file.containers
        )
    for index, link in enumerate(container.links):
        yield from _unknown(f"links[{index}]", "container", link, file.containers)
        if link in file.containers and file.containers[link].network_mode == "none":
            yield f"links[{index}]: '{link}' cannot be reached: it has 'network_mode: none'"
    ports = [port.container for port in container.ports]
    for index, port in enumerate(ports):
        if port in ports[:index]:
            yield f"ports[{index}]: port {port} is published twice"


def _check_host_ports(file: MoromiFile) -> Iterator[str]:
    published: dict[str, Port] = {}
    for name, container in file.containers.items():
        for index, port in enumerate(container.ports):
            where = f"containers.{name}.ports[{index}]"
            for other, user in published.items():
                if port.overlaps(user):
                    yield f"{where}: host port {port.host} is already used by {other}"
            published[where] = port


def _unknown(where: str, kind: str, name: str, known: Collection[str]) -> Iterator[str]:
    if name not in known:
        yield f"{where}: unknown {kind} '{name}'{did_you_mean(name, known)}"
