"""Make images: from a Dockerfile, a container, or an archive of a root file system."""

import json
import re
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from typing import IO, Any

import docker.errors
import urllib3.exceptions

from nagoya.engine import images
from nagoya.engine.client import Engine, Handle
from nagoya.engine.translation import translated


def build(
    engine: Engine,
    name: str,
    context: Iterable[bytes],
    dockerfile: str,
    *,
    labels: Mapping[str, str],
    arguments: Mapping[str, str],
    no_cache: bool,
) -> Generator[str, None, None]:
    """Build an image and yield the lines that the build prints; it is named at the very end.

    Closing the iterator cancels the build. The labels are the last steps, so that the others are
    found in the engine's cache.
    """
    done = False
    with translated(f"building {name}"):
        try:
            for event in engine.client.api.build(
                fileobj=context,  # type: ignore[arg-type]  # requests sends any iterable
                custom_context=True,
                dockerfile=dockerfile,
                tag=name,
                labels=dict(labels),
                buildargs=dict(arguments),
                nocache=no_cache,
                rm=True,
                forcerm=True,
                decode=True,
            ):
                if "error" in event:
                    raise docker.errors.DockerException(event["error"].strip())
                text = event.get("stream", "")
                done = done or text.startswith("Successfully tagged")
                yield from (line for line in text.splitlines() if line.strip())
        except urllib3.exceptions.HTTPError as error:
            raise ConnectionError(str(error)) from error
        if not done:
            raise ConnectionError("the build ended without a result")


def build_child(
    engine: Engine, name: str, parent: str, context: Iterable[bytes], labels: Mapping[str, str]
) -> Iterator[str]:
    """Build an image on a parent of moromi's, and yield the lines that the build prints.

    The labels that `labels` does not set are the parent's.
    """
    parents = images.inspect(engine, parent)["Config"]["Labels"] or {}
    merged = {**{label: parents.get(label, "") for label in images.MOROMI_LABELS}, **labels}
    return build(engine, name, context, "Dockerfile", labels=merged, arguments={}, no_cache=False)


def commit(container: Handle, labels: Mapping[str, str]) -> str:
    """Commit a container to an image without a name, and return its id.

    The image has the configuration of the container's own image.
    """
    original = images.inspect(container.engine, container.docker.attrs["Image"])["Config"]
    changes = commit_changes(container.docker.attrs["Config"], original, labels)
    with translated(f"committing {container.name}"):
        image = container.docker.commit(message=images.SYSTEM_COMMENT, changes=changes)
        return str(image.id)


def commit_changes(
    own: Mapping[str, Any], image: Mapping[str, Any], labels: Mapping[str, str]
) -> list[str]:
    """The Dockerfile lines that reset a container's configuration to its image's, with `labels`.

    A commit keeps a container's variables and labels. They cannot be removed, only emptied, and
    Nagoya treats an empty one as unset.
    """

    def quoted(text: str) -> str:
        return '"' + re.sub(r'(["\\\\$])', r"\\\1", text) + '"'

    def variables(config: Mapping[str, Any]) -> dict[str, str]:
        return dict(entry.partition("=")[::2] for entry in config.get("Env") or ())

    present, original = variables(own), variables(image)
    lines = [
        f"ENV {name}={quoted(original.get(name, ''))}"
        for name, value in present.items()
        if original.get(name) != value
    ]
    present, original = own.get("Labels") or {}, image.get("Labels") or {}
    wanted = {**dict.fromkeys(present, ""), **original, **labels}
    lines += [
        f"LABEL {quoted(name)}={quoted(value)}"
        for name, value in wanted.items()
        if present.get(name) != value
    ]
    if own.get("Cmd") != image.get("Cmd"):
        lines.append(f"CMD {json.dumps(image.get('Cmd') or [])}")
    return lines


def import_tar(engine: Engine, tar: IO[bytes], name: str, changes: Sequence[str]) -> None:
    """Import an archive as an image of one layer; `changes` are lines of a Dockerfile."""
    repository, tag = images.repository_and_tag(name)
    with translated(f"importing {name}"):
        result = engine.client.api.import_image(
            src=tar, repository=repository, tag=tag, changes=list(changes)
        )
        if "errorDetail" in result:
            raise docker.errors.DockerException(result)
