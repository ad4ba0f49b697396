"""Building the images of a declaration: in the order of their FROM lines, in parallel where nothing
stands against it, and only where something changed."""

import hashlib
import json
from collections import deque
from collections.abc import Collection, Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from fnmatch import fnmatch
from pathlib import Path
from textwrap import shorten
from threading import Event

from nagoya import __version__
from nagoya.build import base_image, dockerfile, sources
from nagoya.build.context import FOLDER, Context
from nagoya.build.dockerfile import Dockerfile
from nagoya.build.from_system import SystemImageBuild
from nagoya.config import loader
from nagoya.config.declaration import Declaration
from nagoya.config.model import Source
from nagoya.engine import Engine
from nagoya.engine import images as engine_images
from nagoya.errors import BuildError, DeclarationError, EngineError
from nagoya.utils.graph import Cycle, Graph, waves, with_dependencies
from nagoya.utils.parallel import Interrupted, raise_failures, run_graph
from nagoya.utils.progress import Progress

_PARALLEL = 4
_LAST_LINES = 20
_STEP_WIDTH = 100

# Docker takes these without a Dockerfile naming them.
_PROXIES = frozenset({"http_proxy", "https_proxy", "ftp_proxy", "no_proxy", "all_proxy"})


@dataclass(frozen=True)
class BuildOptions:
    """What may be asked of a build: build arguments, and to do every step again."""

    arguments: Mapping[str, str] = field(default_factory=dict)
    no_cache: bool = False


@dataclass(frozen=True)
class Step:
    """How images are made: from a Dockerfile, or from a running system of `source_system`.

    `declaration` is the one that declares it. `needs` are images.
    """

    declaration: Declaration
    needs: tuple[str, ...]
    outputs: tuple[str, ...]
    file: Dockerfile | None = None
    source_system: Declaration | None = None


def read_all(
    declaration: Declaration, arguments: Mapping[str, str] | None = None
) -> dict[str, Dockerfile]:
    """The Dockerfile of every declared image. Raises DeclarationError with all that is wrong."""
    return {
        name: step.file
        for name, step in steps(declaration, arguments).items()
        if step.file and name in declaration.images
    }


def steps(declaration: Declaration, arguments: Mapping[str, str] | None = None) -> dict[str, Step]:
    """All that is declared of images, and what it needs of other files for its live systems.

    Raises DeclarationError with all that is wrong.
    """
    found: dict[str, Step] = {}
    problems: list[str] = []
    open_ = [declaration]
    while open_:
        one = open_.pop()
        for name in one.images:
            if name in found:
                continue
            try:
                found[name] = step = _step(one, name, arguments)
            except DeclarationError as error:
                problems += [f"images.{name}: {problem}" for problem in error.problems]
                continue
            if step.source_system is not None:
                open_.append(step.source_system)
    needs = needed(found)
    try:
        waves(needs)
    except Cycle as cycle:
        problems.append(f"images: they stand on each other in a circle: {cycle}")
    if problems:
        raise DeclarationError(str(declaration.path), problems)
    wanted = with_dependencies(declaration.images, needs)
    return {name: step for name, step in found.items() if name in wanted}


def needed(steps: Mapping[str, Step]) -> dict[str, list[str]]:
    """What each step needs: other steps, and images that none of them gives."""
    maker = {image: name for name, step in steps.items() for image in step.outputs}
    return {
        name: list(dict.fromkeys(maker.get(image, image) for image in step.needs))
        for name, step in steps.items()
    }


def _step(declaration: Declaration, name: str, arguments: Mapping[str, str] | None) -> Step:
    live = declaration.images[name].system
    if live is None:
        file = dockerfile.read(declaration.dockerfile(name), arguments)
        return Step(declaration, tuple(file.parents), (name,), file=file)
    starts = loader.read_system(declaration, name)
    used = [one.image for one in starts.containers.values()]
    used += [live.root.image] if live.root else []
    return Step(declaration, tuple(dict.fromkeys(used)), live.outputs, source_system=starts)


def build(
    engine: Engine,
    declaration: Declaration,
    names: Collection[str],
    progress: Progress,
    options: BuildOptions | None = None,
) -> None:
    """Build images and what they stand on: sources, the base image, parent images.

    No names means all that have a Dockerfile. An image whose inputs are unchanged is left alone.
    Images that do not depend on a failed one are still built. Raises BuildError that tells of each
    that failed, with the last lines of its build.
    """
    options = options or BuildOptions()
    _Build(engine, declaration, frozenset(names), progress, options).run()


class _Build:
    def __init__(
        self,
        engine: Engine,
        declaration: Declaration,
        names: frozenset[str],
        progress: Progress,
        options: BuildOptions,
    ) -> None:
        declared = [*declaration.images, *declaration.produced_by]
        unknown = sorted(names - set(declared))
        if unknown:
            raise BuildError(
                f"{declaration.path} declares no image {', '.join(unknown)}",
                f"it declares {', '.join(declared)}",
            )
        self.engine = engine
        self.declaration = declaration
        self.progress = progress
        self.options = options
        self.steps = steps(declaration, options.arguments)
        self.files = {name: step.file for name, step in self.steps.items() if step.file}
        self.wanted = frozenset(
            declaration.produced_by.get(name, name) for name in names
        ) or frozenset(name for name in declaration.images if name in self.files)
        self.fetches: dict[str, tuple[Declaration, str]] = {}
        self.bases = {
            one.declaration.base.image: one.declaration.base for one in self.steps.values()
        }
        self.stop = Event()
        self.lives = {
            name: self._live(name, one) for name, one in self.steps.items() if one.source_system
        }
        _check_arguments(self.files, options.arguments)

    def run(self) -> None:
        steps = with_dependencies(self.wanted, self._needs())
        # What is needed first is shown first.
        self.progress.add(*(name for wave in waves(steps) for name in wave))
        try:
            outcomes = run_graph(
                steps, self._do, workers=_PARALLEL, stop=self.stop, on_done=self.progress.finish
            )
        except Interrupted as interrupted:
            done = {n for n, outcome in interrupted.results.items() if outcome.state == "done"}
            for live in self.lives.values():
                live.abandon()
            left = [name for name in steps if name in self.steps and name not in done]
            if left:
                self.progress.log(f"not built, and still what they were: {', '.join(left)}")
            raise
        raise_failures(outcomes, BuildError, "some images could not be built")

    def _needs(self) -> Graph:
        """What each image needs, and that these things need nothing themselves."""
        needs: dict[str, Collection[str]] = {
            name: [*others, *(self._fetch(name, source) for source in self._sources(name))]
            for name, others in needed(self.steps).items()
        }
        others = {other for named in needs.values() for other in named}
        return {other: () for other in sorted(others - set(needs))} | needs

    def _fetch(self, image: str, source: str) -> str:
        """What the fetching of an image's source is called, which is one thing for each place."""
        declared = self.steps[image].declaration
        place = declared.source_dirs[source]
        ours = self.declaration.source_dirs.get(source, place) == place
        name = f"{FOLDER}/{source}" if ours else f"{place}/{FOLDER}/{source}"
        self.fetches.setdefault(name, (declared, source))
        return name

    def _sources(self, image: str) -> list[str]:
        """The declared sources that an image's Dockerfile copies from."""
        file = self.files.get(image)
        if file is None:
            return []
        # The first two parts of each path, wildcards and all; `.` has none, and copies everything.
        copied = ["/".join([*Path(one.path).parts, "*", "*"][:2]) for one in file.copied]
        return [
            name
            for name in self.steps[image].declaration.sources
            if any(fnmatch(f"{FOLDER}/{name}", path) for path in copied)
        ]

    def _do(self, name: str) -> None:
        if name in self.steps:
            try:
                if name in self.files:
                    self._build(name)
                else:
                    self._build_live(name)
            except OSError as error:
                raise BuildError(f"the build context cannot be read: {error}") from error
        elif name in self.fetches:
            declared, source = self.fetches[name]
            place = declared.source_dirs[source]
            sources.ensure(place, source, declared.sources[source], self.progress)
        elif name in self.bases:
            base_image.ensure(self.engine, self.bases[name], self.progress)
        else:
            self._foreign(name)

    def _foreign(self, name: str) -> None:
        if not engine_images.exists(self.engine, name):
            self.progress.update(name, "working", "asking the registry")
            engine_images.pull(self.engine, name, lambda line: self.progress.output(name, line))
        self.progress.update(name, "done", "present")

    def _live(self, name: str, step: Step) -> SystemImageBuild:
        live = step.declaration.images[name].system
        assert live
        assert step.source_system
        folder = step.declaration.contexts[name]
        return SystemImageBuild(
            self.engine, name, live, folder, step.source_system, self.progress, self.stop
        )

    def _build_live(self, name: str) -> None:
        live = self.lives[name]
        inputs = live.inputs()
        given = live.live.outputs
        anew = self.options.no_cache and name in self.wanted
        # Found by their names alone: those of two builds would not fit together.
        if not anew and engine_images.built_together(self.engine, given, inputs):
            self.progress.update(name, "done", "unchanged")
            return
        live.run(inputs)
        self.progress.update(name, "done", f"made {', '.join(given)}")

    def _build(self, name: str) -> None:
        file, declared = self.files[name], self.steps[name].declaration
        context = Context(declared.contexts[name], file, declared.source_dirs)
        given = self.options.arguments
        arguments = {key: value for key, value in given.items() if key in file.arguments}
        # What a proxy lets through is the same as without it: no input, to Docker neither.
        proxies = {key: value for key, value in given.items() if key.lower() in _PROXIES}
        version, source = self._packaged(name)
        labels = {
            engine_images.IMAGE_LABEL: name,
            engine_images.SOURCE_LABEL: source,
            engine_images.TITLE_LABEL: name,
            engine_images.VERSION_LABEL: version,
        }
        parents = [engine_images.image_id(self.engine, parent) for parent in file.parents]
        inputs = _digest(context.digest(), parents, labels, arguments)
        no_cache = self.options.no_cache and name in self.wanted
        if not no_cache:
            made = engine_images.find_by_inputs(self.engine, name, inputs)
            if made is not None:
                if made != engine_images.image_id(self.engine, name):
                    engine_images.tag(self.engine, made, name)
                self.progress.update(name, "done", "unchanged")
                return
        labels[engine_images.INPUTS_LABEL] = inputs
        labels[engine_images.CREATED_LABEL] = datetime.now(UTC).isoformat(timespec="seconds")
        lines = engine_images.build(
            self.engine,
            name,
            context.tar(),
            context.dockerfile,
            labels=labels,
            arguments=proxies | arguments,
            no_cache=no_cache,
        )
        with closing(lines):
            self._watch(name, lines)
        self.progress.update(name, "done", "built")

    def _watch(self, name: str, lines: Iterable[str]) -> None:
        last: deque[str] = deque(maxlen=_LAST_LINES)
        try:
            for line in lines:
                last.append(line)
                if line.startswith("Step "):
                    self.progress.update(
                        name, "working", shorten(line, _STEP_WIDTH, placeholder=" …")
                    )
                else:
                    self.progress.output(name, line)
                if self.stop.is_set():
                    raise BuildError("interrupted")
        except EngineError as error:
            said = "".join(f"\n    {line}" for line in last)
            raise BuildError(f"{error.message}{said}", error.hint) from None

    def _packaged(self, image: str) -> tuple[str, str]:
        """Version and origin of the software in an image: of the first source that it copies, or
        else of Nagoya itself. A package has no URL but its package-url, https://purl.org."""
        known = self.steps[image].declaration.sources
        declared = [known[name] for name in self._sources(image)]
        match declared:
            case [Source(pypi=str(pypi)), *_]:
                package, _, version = pypi.partition("==")
                return version, f"pkg:pypi/{package.lower()}@{version}"
            case [Source(url=str(url), sha256=str(sha256)), *_]:
                return sha256[:12], url
            case [Source(path=str(path)), *_]:
                return "work tree", f"pkg:generic/{Path(path).name}"
        return __version__, f"pkg:generic/nagoya@{__version__}"


def _check_arguments(files: Mapping[str, Dockerfile], given: Mapping[str, str]) -> None:
    known = {name for file in files.values() for name in file.arguments}
    unknown = sorted(n for n in given if n not in known and n.lower() not in _PROXIES)
    if unknown:
        raise BuildError(
            f"no Dockerfile has an ARG called {', '.join(unknown)}",
            f"there is {', '.join(sorted(known))}" if known else "none of them has any ARG",
        )


def _digest(*inputs: object) -> str:
    return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()
