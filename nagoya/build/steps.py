"""The build graph of a declaration: images, and the sources and base images that they need."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatch
from pathlib import Path

from nagoya import __version__
from nagoya.build import dockerfile
from nagoya.build.context import FOLDER
from nagoya.build.dockerfile import CopySource, Dockerfile
from nagoya.config import loader, tags
from nagoya.config.declaration import Declaration
from nagoya.config.model import Base, Source
from nagoya.errors import DeclarationError, UsageError, did_you_mean
from nagoya.utils.graph import Cycle, Graph, waves, with_dependencies

# Docker accepts these although no Dockerfile declares them.
_PROXIES = frozenset({"http_proxy", "https_proxy", "ftp_proxy", "no_proxy", "all_proxy"})


@dataclass(frozen=True)
class BuildOptions:
    """Build arguments by name, and whether to run every step of the named images again."""

    arguments: Mapping[str, str] = field(default_factory=dict)
    no_cache: bool = False

    @property
    def proxies(self) -> dict[str, str]:
        """The arguments that set a proxy; an image is the same with and without one."""
        return {n: value for n, value in self.arguments.items() if n.lower() in _PROXIES}

    def taken_by(self, file: Dockerfile) -> dict[str, str]:
        """The arguments that a Dockerfile declares."""
        return {n: value for n, value in self.arguments.items() if n in file.arguments}


@dataclass(frozen=True)
class Step:
    """How `outputs` are made: from a Dockerfile (`file`), or from a running system of the
    containers of `source_system`.

    `images` are needed for it; `sources` are the declared sources that its Dockerfile copies,
    `software` these and those of the images that it needs; `onbuild` is what its parents' ONBUILD
    instructions copy.
    """

    declaration: Declaration
    images: tuple[str, ...]
    outputs: tuple[str, ...]
    file: Dockerfile | None = None
    source_system: Declaration | None = None
    sources: tuple[str, ...] = ()
    software: tuple[str, ...] = ()
    onbuild: tuple[CopySource, ...] = ()

    @property
    def title(self) -> str:
        """The name of an image with a Dockerfile, without its tag."""
        return tags.untagged(self.outputs[0], self.declaration.tag)

    @property
    def arguments(self) -> dict[str, str]:
        """The declaration's build arguments that its Dockerfile declares."""
        taken = self.file.arguments if self.file else ()
        return {n: value for n, value in self.declaration.arguments.items() if n in taken}

    @property
    def package(self) -> tuple[str, str]:
        """Version and origin of the first of the software, else of Nagoya. A PyPI package has no
        URL but its package-url, https://purl.org."""
        match [self.declaration.sources[name] for name in self.software]:
            case [Source(pypi=str(pypi)), *_]:
                package, _, version = pypi.partition("==")
                return version, f"pkg:pypi/{package.lower()}@{version}"
            case [Source(url=str(url), sha256=str(sha256)), *_]:
                return sha256[:12], url
            case [Source(path=str(path)), *_]:
                return "work tree", f"pkg:generic/{Path(path).name}"
        return __version__, f"pkg:generic/nagoya@{__version__}"


@dataclass(frozen=True)
class BuildGraph:
    """Everything that may have to be made, and what each needs.

    `steps` are by the names of the entries of `images`; `sources` by their rows in the progress,
    each with its declaration and name; `bases` by image name. A name in `needs` that is in none of
    these is another image, which can only be pulled.
    """

    steps: Mapping[str, Step]
    sources: Mapping[str, tuple[Declaration, str]]
    bases: Mapping[str, Base]
    needs: Graph

    def select(self, declaration: Declaration, names: Collection[str]) -> frozenset[str]:
        """The steps that make the named images; no names means every image with a Dockerfile.

        Raises UsageError for unknown names.
        """
        if not names:
            return frozenset(n for n in declaration.images if self.steps[n].file)
        known = [*declaration.images, *declaration.produced_by]
        names = [n if n in known else tags.reference(n, declaration.tag) for n in names]
        unknown = sorted(set(names).difference(known))
        if unknown:
            raise UsageError(
                f"{declaration.path} declares no image '{unknown[0]}'"
                f"{did_you_mean(unknown[0], known)}",
                f"it declares {', '.join(known)}",
            )
        return frozenset(declaration.produced_by.get(name, name) for name in names)

    def images(self, wanted: Collection[str]) -> dict[str, tuple[str, ...]]:
        """The images that the wanted steps make or need, each with those that it needs itself."""
        images: dict[str, tuple[str, ...]] = {}
        for name in with_dependencies(wanted, self.needs):
            if step := self.steps.get(name):
                images |= dict.fromkeys(step.outputs, step.images)
            elif name not in self.sources:
                images[name] = ()
        return images


def build_graph(declaration: Declaration, arguments: Mapping[str, str] | None = None) -> BuildGraph:
    """The graph of all declared images, and of what their running systems need of other files.

    Raises DeclarationError with all that is wrong, UsageError for an argument without an ARG.
    """
    steps = _steps(declaration, arguments)
    files = [step.file for step in steps.values() if step.file]
    _check_arguments(declaration, files, arguments or {})
    sources: dict[str, tuple[Declaration, str]] = {}
    needs: dict[str, Collection[str]] = {}
    for name, images in dependencies(steps).items():
        declared = steps[name].declaration
        rows = []
        for source in steps[name].sources:
            folder = declared.source_dirs[source]
            elsewhere = declaration.source_dirs.get(source, folder) != folder
            rows.append(f"{folder}/{FOLDER}/{source}" if elsewhere else f"{FOLDER}/{source}")
            sources.setdefault(rows[-1], (declared, source))
        needs[name] = [*images, *rows]
    leaves = sorted({other for others in needs.values() for other in others} - set(needs))
    bases = {step.declaration.base.image: step.declaration.base for step in steps.values()}
    return BuildGraph(steps, sources, bases, {leaf: () for leaf in leaves} | needs)


def dependencies(steps: Mapping[str, Step]) -> dict[str, list[str]]:
    """What each step needs: other steps, and images that none of them makes."""
    makers = {output: name for name, step in steps.items() for output in step.outputs}
    return {
        name: list(dict.fromkeys(makers.get(image, image) for image in step.images))
        for name, step in steps.items()
    }


def _steps(declaration: Declaration, arguments: Mapping[str, str] | None) -> dict[str, Step]:
    steps: dict[str, Step] = {}
    problems: list[str] = []
    pending = [declaration]
    while pending:
        current = pending.pop()
        for name in current.images:
            if name in steps:
                continue
            try:
                steps[name] = step = _step(current, name, arguments)
            except DeclarationError as error:
                problems += [f"images.{name}: {problem}" for problem in error.problems]
                continue
            if step.source_system is not None:
                pending.append(step.source_system)
    needs = dependencies(steps)
    try:
        waves(needs)
    except Cycle as cycle:
        problems.append(f"images: circular dependency: {cycle}")
    if problems:
        raise DeclarationError(str(declaration.path), problems)
    complete = {}
    for name in with_dependencies(declaration.images, needs):
        step = steps[name]
        lineage = [steps[image] for image in with_dependencies([name], needs)]
        copied = {source for ancestor in lineage for source in ancestor.sources}
        parents = [steps[image].file for image in step.images if image in steps and step.file]
        complete[name] = replace(
            step,
            software=tuple(source for source in step.declaration.sources if source in copied),
            onbuild=tuple(copy for file in parents if file for copy in file.onbuild),
        )
    return complete


def _step(declaration: Declaration, name: str, arguments: Mapping[str, str] | None) -> Step:
    system = declaration.images[name].system
    if system is None:
        values = {**(arguments or {}), **declaration.arguments}
        file = dockerfile.read(declaration.dockerfile(name), values)
        _check_tags(file, declaration)
        sources = tuple(source for source in declaration.sources if _copies(file, source))
        return Step(declaration, tuple(file.parents), (name,), file=file, sources=sources)
    started = loader.read_system(declaration, name)
    images = [container.image for container in started.containers.values()]
    images += [system.root.image] if system.root else []
    return Step(declaration, tuple(dict.fromkeys(images)), system.outputs, source_system=started)


def _check_tags(file: Dockerfile, declaration: Declaration) -> None:
    """Refuse a parent that would be an image of another file, although this one declares it."""
    declared = {*declaration.images, *declaration.produced_by}
    problems = [
        f"FROM {parent} is not the image that this file makes, {parent}:{declaration.tag}"
        for parent in file.parents
        if parent not in declared and f"{parent}:{declaration.tag}" in declared
    ]
    if problems:
        hint = f"write `ARG {tags.ARGUMENT}=latest` first, then `FROM NAME:${{{tags.ARGUMENT}}}`"
        raise DeclarationError(str(file.path), [f"{problem}; {hint}" for problem in problems])


def _copies(file: Dockerfile, source: str) -> bool:
    # The first two parts of each path, wildcards included; `.` has none, and copies everything.
    paths = ("/".join([*Path(copied.path).parts, "*", "*"][:2]) for copied in file.copied)
    return any(fnmatch(f"{FOLDER}/{source}", path) for path in paths)


def _check_arguments(
    declaration: Declaration, files: Iterable[Dockerfile], arguments: Collection[str]
) -> None:
    if reserved := sorted(declaration.arguments.keys() & arguments):
        raise UsageError(f"{reserved[0]} follows from moromi.yml", "set `tag` or `base` there")
    known = {name for file in files for name in file.arguments}.difference(declaration.arguments)
    unknown = sorted(n for n in arguments if n not in known and n.lower() not in _PROXIES)
    if unknown:
        raise UsageError(
            f"no Dockerfile has an ARG '{unknown[0]}'{did_you_mean(unknown[0], known)}",
            f"they have {', '.join(sorted(known))}" if known else "none of them has any ARG",
        )
