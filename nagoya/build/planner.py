"""What `moromi build` does: computed from the build graph and the observed state, before anything
is done."""

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal
from urllib.parse import quote, unquote

from nagoya.build.steps import BuildGraph, BuildOptions, Step
from nagoya.config.tags import untagged
from nagoya.utils.graph import waves, with_dependencies

Action = Literal["keep", "tag", "build", "build if changed", "fetch", "pull"]
Parts = Mapping[str, str]
"""Digests of all that an image is built from: files, parents, arguments, the version."""

_SHOWN_CHANGES = 3


@dataclass(frozen=True)
class ObservedImage:
    """An image on the engine: its id, and the parts and the software it was built from, if moromi
    built it."""

    id: str
    parts: Parts
    software: str = ""


@dataclass(frozen=True)
class Observed:
    """What a plan depends on.

    `images` are those on the engine by name; `built` has the ids of images that moromi built, by
    title and inputs: of those in `images`, or of all, tagged or not; `outdated` says for each
    source that has to be fetched why; `files` has the digests of each image's build context,
    without those that cannot be read (yet); `current` are the steps with a running system whose
    images are up to date.
    """

    images: Mapping[str, ObservedImage]
    built: Mapping[tuple[str, str], str]
    outdated: Mapping[str, str]
    files: Mapping[str, Parts]
    current: Collection[str] = ()


@dataclass(frozen=True)
class Operation:
    """One thing to do, after those that it `needs`, and why; `image_id` is the image to tag.

    Only "build if changed" leaves something open: it depends on the outcome of what it needs.
    """

    name: str
    action: Action
    cause: str
    needs: tuple[str, ...] = ()
    image_id: str | None = None


def plan_build(
    graph: BuildGraph, wanted: Collection[str], observed: Observed, options: BuildOptions
) -> dict[str, Operation]:
    """The operations that bring the wanted steps up to date, in an order in which they can run."""
    needs = with_dependencies(wanted, graph.needs)
    plan: dict[str, Operation] = {}
    for name in (name for wave in waves(needs) for name in wave):
        image_id = None
        cause = "present"
        action: Action = "keep"
        if name in graph.sources:
            if name in observed.outdated:
                action, cause = "fetch", observed.outdated[name]
        elif name not in graph.steps:
            if name not in observed.images:
                action, cause = "pull", "no such image here"
                if name in graph.bases:
                    cause += "; made with mmdebstrap if no registry has it"
        elif options.no_cache and name in wanted:
            action, cause = "build", "--no-cache"
        elif blocking := _blocking(plan, needs[name]):
            action, cause = blocking
        elif graph.steps[name].file:
            action, cause, image_id = _plan_image(name, graph.steps[name], plan, observed, options)
        else:
            action, cause = _plan_system_images(name, graph.steps[name], plan, observed)
        plan[name] = Operation(name, action, cause, tuple(needs[name]), image_id)
    return plan


def replaced_software(
    graph: BuildGraph, plan: Mapping[str, Operation], observed: Observed
) -> Iterator[str]:
    """A sentence for each group of images whose names a build gives to images of other software."""
    moved: dict[tuple[str, str], list[str]] = {}
    for name, step in graph.steps.items():
        if name in plan and plan[name].action != "keep" and name in observed.images:
            old, new = observed.images[name].software, step.package[1]
            if step.software and old and old != new:
                moved.setdefault((old, new), []).append(name)
    for (old, new), names in moved.items():
        yield (
            f"{', '.join(names)}: built from {old} so far, now from {new}; systems get "
            "the new images with their next `toji up`. `tag: NAME` in moromi.yml would keep both"
        )


def image_parts(
    step: Step, files: Parts, parents: Mapping[str, str], options: BuildOptions
) -> Parts:
    """All that an image with a Dockerfile is built from; `parents` are image ids by name."""
    assert step.file
    arguments = options.taken_by(step.file)
    return {
        **files,
        **{
            f"FROM {untagged(image, step.declaration.tag)}": _digest(image_id)
            for image, image_id in parents.items()
        },
        **{f"ARG {name}": _digest(value) for name, value in arguments.items()},
        "version": _digest(step.package),
    }


def inputs_digest(parts: Parts) -> str:
    """One digest of all parts."""
    return _digest(dict(sorted(parts.items())))


def parts_label(parts: Parts) -> str:
    """Parts as the value of a label, with shortened digests."""
    return " ".join(f"{quote(part)}={digest[:8]}" for part, digest in sorted(parts.items()))


def read_parts_label(value: str) -> Parts:
    """The parts in the value of a label."""
    pairs = (pair.partition("=") for pair in value.split())
    return {unquote(part): digest for part, _, digest in pairs}


def _plan_image(
    name: str, step: Step, plan: Mapping[str, Operation], observed: Observed, options: BuildOptions
) -> tuple[Action, str, str | None]:
    if name not in observed.files:
        return "build", "its files cannot be read", None
    parents = {
        image: (image in plan and plan[image].image_id) or observed.images[image].id
        for image in step.images
    }
    parts = image_parts(step, observed.files[name], parents, options)
    image_id = observed.built.get((step.title, inputs_digest(parts)))
    current = observed.images.get(name)
    if image_id is None:
        return "build", describe_changes(current.parts, parts) if current else "not built yet", None
    if current and current.id == image_id:
        return "keep", "unchanged", None
    return "tag", "built before from the same inputs", image_id


def _plan_system_images(
    name: str, step: Step, plan: Mapping[str, Operation], observed: Observed
) -> tuple[Action, str]:
    for need in plan.values():
        if need.name in step.images and need.action == "tag":
            return "build if changed", f"{need.name} is tagged first"
    if name in observed.current:
        return "keep", "unchanged"
    missing = [output for output in step.outputs if output not in observed.images]
    return "build", "not built yet" if missing else "what it is made from changed"


def _blocking(plan: Mapping[str, Operation], needs: Collection[str]) -> tuple[Action, str] | None:
    """The action for an image, and its cause, that follow from the actions for what it needs."""
    actions = {need: plan[need].action for need in needs}
    for need, action in actions.items():
        if action == "build":
            return "build", f"{need} is rebuilt"
    causes = {
        "fetch": "is fetched first",
        "pull": "is pulled first",
        "build if changed": "may change",
    }
    for need, action in actions.items():
        if action in causes:
            return "build if changed", f"{need} {causes[action]}"
    return None


def describe_changes(before: Parts, after: Parts) -> str:
    """Which parts differ, in words, at most three of them."""
    if not before:
        return "not built by this version of moromi"
    short = {part: digest[:8] for part, digest in after.items()}
    changes = [
        *(f"{part} changed" for part in short if short[part] != before.get(part, short[part])),
        *(f"{part} added" for part in short if part not in before),
        *(f"{part} removed" for part in before if part not in short),
    ]
    more = len(changes) - _SHOWN_CHANGES
    shown = ", ".join(changes[:_SHOWN_CHANGES])
    return f"{shown} and {more} more" if more > 0 else shown or "its image is gone"


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()
