"""Pull the images of a moromi.yml from a registry, each by the digest that its release lists."""

from collections.abc import Collection, Mapping

from nagoya.build import release
from nagoya.build.planner import Action, Operation
from nagoya.build.release import Address
from nagoya.build.steps import build_graph
from nagoya.config.declaration import Declaration
from nagoya.engine import Engine, images, registry
from nagoya.errors import EngineError
from nagoya.utils.parallel import raise_one_or_all, run_graph
from nagoya.utils.progress import Progress

_WORKERS = 3


def plan_pull(
    references: Mapping[str, str], declared: Collection[str], here: Mapping[str, str | None]
) -> dict[str, Operation]:
    """What gives the names of `references` to the images that these refer to.

    `here` has the ids of the images on the engine, by name and by reference. Images that are not
    `declared`, such as the base image, may be another system's too: they keep their names.
    """
    plan = {}
    for name, reference in references.items():
        present, wanted = here.get(name), here.get(reference)
        action: Action = "pull"
        cause = "another image has that name" if present else "no such image here"
        if name not in declared and present:
            action, cause = "keep", "present"
        elif wanted:
            action = "keep" if present == wanted else "tag"
            cause = "present" if present == wanted else "pulled before"
        plan[name] = Operation(name, action, cause, image_id=wanted)
    return plan


def pull(
    engine: Engine,
    declaration: Declaration,
    address: Address,
    names: Collection[str],
    progress: Progress,
) -> str:
    """Pull images, all that have a Dockerfile or those named, and what they are built from.

    Returns the reference of the release by its digest. Raises UsageError for unknown names, and for
    those that the release does not have.
    """
    graph = build_graph(declaration)
    wanted = graph.select(declaration, names)
    pushed = release.read(engine, address, progress)
    pushed.require(output for name in wanted for output in graph.steps[name].outputs)
    names = [name for name in graph.images(wanted) if name in pushed.images]
    references = {name: pushed.images[name] for name in names}
    here = {name: images.image_id(engine, name) for pair in references.items() for name in pair}
    declared = {output for step in graph.steps.values() for output in step.outputs}
    plan = plan_pull(references, declared, here)
    progress.add(*plan)

    def carry_out(name: str) -> None:
        operation, reference = plan[name], references[name]
        if operation.action == "pull":
            progress.update(name, "working", f"pulling: {operation.cause}")
            registry.pull(engine, reference, lambda line: progress.output(name, line))
        if operation.action != "keep":
            images.tag(engine, reference, name)
        result = operation.cause if operation.action != "pull" else "pulled"
        progress.update(name, "done", f"{result}, {reference.partition('@')[2][:19]}")

    results = run_graph(
        dict.fromkeys(plan, ()), carry_out, workers=_WORKERS, on_done=progress.finish
    )
    raise_one_or_all(results, EngineError, "some images could not be pulled")
    return pushed.pinned
