"""Build images: observe, plan, and carry the plan out in parallel."""

import hashlib
from collections import deque
from collections.abc import Collection, Iterable
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from textwrap import shorten
from threading import Event

from nagoya.build import base_image, sources
from nagoya.build.context import Context
from nagoya.build.from_system import SystemImageBuild
from nagoya.build.planner import (
    Observed,
    ObservedImage,
    Operation,
    Parts,
    image_parts,
    inputs_digest,
    parts_label,
    plan_build,
    read_parts_label,
    replaced_software,
)
from nagoya.build.steps import BuildOptions, Step, build_graph
from nagoya.config.declaration import Declaration
from nagoya.engine import Engine, image_builds, registry
from nagoya.engine import images as engine_images
from nagoya.errors import BuildError, DeclarationError, EngineError
from nagoya.utils.graph import with_dependencies
from nagoya.utils.parallel import Interrupted, raise_failures, run_graph
from nagoya.utils.progress import Progress

_WORKERS = 4
_LAST_LINES = 20
_STEP_WIDTH = 100


def checkout(context: Path) -> str:
    """The value of CHECKOUT_LABEL of images built from a context."""
    return hashlib.sha256(str(context).encode()).hexdigest()[:16]


class Build:
    """One call of `moromi build`: images, all that have a Dockerfile or those named, and what they
    need: sources, the base image, parent images. Raises UsageError for unknown names."""

    def __init__(
        self,
        engine: Engine,
        declaration: Declaration,
        names: Collection[str],
        options: BuildOptions | None = None,
        progress: Progress | None = None,
    ) -> None:
        self.engine = engine
        self.progress = progress or Progress(quiet=True)
        self.options = options or BuildOptions()
        self.graph = build_graph(declaration, self.options.arguments)
        self.wanted = self.graph.select(declaration, names)
        self.stop = Event()
        self.systems = {
            name: SystemImageBuild(
                engine,
                name,
                system,
                step.declaration.contexts[name],
                source,
                self.progress,
                self.stop,
            )
            for name, step in self.graph.steps.items()
            if (system := step.declaration.images[name].system) and (source := step.source_system)
        }

    def plan(self) -> dict[str, Operation]:
        """What `run` does. Logs which images are replaced by images of other software."""
        observed = self._observe()
        operations = plan_build(self.graph, self.wanted, observed, self.options)
        if any(operation.action == "build" for operation in operations.values()):
            # An image that has lost its name may be what is needed.
            titles = {step.title for step in self.graph.steps.values()}
            built = engine_images.built(self.engine, titles)
            observed = replace(observed, built={**built, **observed.built})
            operations = plan_build(self.graph, self.wanted, observed, self.options)
        for text in replaced_software(self.graph, operations, observed):
            self.progress.log(text)
        return operations

    def run(self) -> None:
        """Carry the plan out: first the sources, without which nothing is built; images that do
        not depend on a failed one are still built.

        Raises BuildError that lists every failure with the last lines of its build.
        """
        operations = self.plan()
        self.progress.add(*operations)

        def task(name: str) -> None:
            try:
                self._run(operations[name])
            except OSError as error:
                raise BuildError(f"the build context cannot be read: {error}") from error

        try:
            for is_source, message in (
                (True, "the sources are not complete, so nothing was built"),
                (False, "some images could not be built"),
            ):
                names = [name for name in operations if (name in self.graph.sources) is is_source]
                results = run_graph(
                    {n: [m for m in operations[n].needs if m in names] for n in names},
                    task,
                    workers=_WORKERS,
                    stop=self.stop,
                    on_done=self.progress.finish,
                )
                raise_failures(results, BuildError, message)
        except Interrupted as interrupted:
            for system in self.systems.values():
                system.abandon()
            done = {name for name, result in interrupted.results.items() if result.state == "done"}
            rest = [name for name in operations if name in self.graph.steps and name not in done]
            if rest:
                self.progress.log(f"not built, so still the old images: {', '.join(rest)}")
            raise

    def _observe(self) -> Observed:
        needs = with_dependencies(self.wanted, self.graph.needs)
        steps = {name: step for name, step in self.graph.steps.items() if name in needs}
        names = {image for step in steps.values() for image in (*step.outputs, *step.images)}
        images, built = {}, {}
        for name in names.union(needs).difference(self.graph.sources):
            if (attributes := engine_images.find(self.engine, name)) is not None:
                labels = attributes["Config"]["Labels"] or {}
                images[name] = ObservedImage(
                    attributes["Id"],
                    read_parts_label(labels.get(engine_images.PARTS_LABEL, "")),
                    labels.get(engine_images.SOURCE_LABEL, ""),
                )
                if key := engine_images.name_and_inputs(self.engine, attributes):
                    built[key] = attributes["Id"]
        files: dict[str, Parts] = {}
        for name, step in steps.items():
            try:
                files |= {name: self._context(name, step).digests()} if step.file else {}
            except (DeclarationError, OSError):
                continue  # for the build to report, unless a source is fetched before
        outdated = {}
        for row, (declaration, source) in self.graph.sources.items():
            place, declared = declaration.source_dirs[source], declaration.sources[source]
            if row in needs and (reason := sources.outdated(place, source, declared)):
                outdated[row] = reason
        current = [
            name
            for name, system in self.systems.items()
            if name in needs
            and images.keys() >= set(steps[name].outputs)
            and engine_images.built_together(self.engine, steps[name].outputs, system.inputs())
        ]
        return Observed(images, built, outdated, files, current)

    def _context(self, name: str, step: Step) -> Context:
        assert step.file
        root, source_dirs = step.declaration.contexts[name], step.declaration.source_dirs
        return Context(root, step.file, source_dirs, step.onbuild)

    def _run(self, operation: Operation) -> None:
        name = operation.name
        if operation.action == "keep":
            self.progress.update(name, "done", operation.cause)
        elif name in self.graph.sources:
            declaration, source = self.graph.sources[name]
            place = declaration.source_dirs[source]
            sources.ensure(place, source, declaration.sources[source], self.progress)
        elif name in self.graph.bases:
            base_image.ensure(self.engine, self.graph.bases[name], self.progress)
        elif name in self.systems:
            self._build_from_system(operation)
        elif name in self.graph.steps:
            self._build(operation, self.graph.steps[name])
        else:
            self.progress.update(name, "working", "pulling")
            registry.pull(self.engine, name, lambda line: self.progress.output(name, line))
            self.progress.update(name, "done", "pulled")

    def _build_from_system(self, operation: Operation) -> None:
        name, system = operation.name, self.systems[operation.name]
        inputs, outputs = system.inputs(), self.graph.steps[operation.name].outputs
        if operation.action == "build if changed" and engine_images.built_together(
            self.engine, outputs, inputs
        ):
            self.progress.update(name, "done", "unchanged")
            return
        system.run(inputs)
        self.progress.update(name, "done", f"built {', '.join(outputs)}")

    def _build(self, operation: Operation, step: Step) -> None:
        assert step.file
        name, image_id = operation.name, operation.image_id
        if image_id is None:
            context = self._context(name, step)
            parents = {i: engine_images.image_id(self.engine, i) or "" for i in step.images}
            parts = image_parts(step, context.digests(), parents, self.options)
            if operation.action == "build if changed":
                built = engine_images.built(self.engine, [step.title])
                image_id = built.get((step.title, inputs_digest(parts)))
        if image_id is not None:
            if image_id != engine_images.image_id(self.engine, name):
                engine_images.tag(self.engine, image_id, name)
            self.progress.update(name, "done", "unchanged")
            return
        version, source = step.package
        lines = image_builds.build(
            self.engine,
            name,
            context.tar(),
            context.dockerfile,
            labels={
                engine_images.CHECKOUT_LABEL: checkout(context.root),
                engine_images.IMAGE_LABEL: step.title,
                engine_images.INPUTS_LABEL: inputs_digest(parts),
                engine_images.PARTS_LABEL: parts_label(parts),
                engine_images.CREATED_LABEL: datetime.now(UTC).isoformat(timespec="seconds"),
                engine_images.SOURCE_LABEL: source,
                engine_images.TITLE_LABEL: step.title,
                engine_images.VERSION_LABEL: version,
            },
            arguments=self.options.proxies | self.options.taken_by(step.file) | step.arguments,
            no_cache=self.options.no_cache and name in self.wanted,
        )
        with closing(lines):
            self._watch(name, lines)
        self.progress.update(name, "done", "built")

    def _watch(self, name: str, lines: Iterable[str]) -> None:
        """Show the lines of a build, and keep the last ones for its error."""
        last: deque[str] = deque(maxlen=_LAST_LINES)
        try:
            for line in lines:
                last.append(line)
                if line.startswith("Step "):
                    step = shorten(line.removeprefix("Step "), _STEP_WIDTH, placeholder=" …")
                    self.progress.update(name, "working", step)
                else:
                    self.progress.output(name, line)
                if self.stop.is_set():
                    raise BuildError("interrupted")
        except EngineError as error:
            output = "".join(f"\n    {line}" for line in last)
            raise BuildError(f"{error.message}{output}", error.hint) from None
