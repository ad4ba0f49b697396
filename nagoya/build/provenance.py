"""How an image was made, as an in-toto statement with SLSA's provenance in it. Pure.

https://slsa.dev/spec/v1.0/provenance describes the form.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from nagoya import __version__
from nagoya.build.steps import Step
from nagoya.config.model import Source
from nagoya.engine.images import CREATED_LABEL, INPUTS_LABEL

_BUILDER = f"pkg:generic/nagoya@{__version__}"


def statement(
    subject: str,
    digest: str,
    step: Step,
    *,
    labels: Mapping[str, str],
    parents: Mapping[str, str],
    commit: str | None,
) -> dict[str, Any]:
    """The statement on an image that is up to date, by its reference, digest and labels.

    `parents` has the digests of the images that it is built from, `commit` is that of a checkout
    without other changes.
    """
    return {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": subject, "digest": _digest(digest)}],
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": f"{_BUILDER}#moromi-build",
                "externalParameters": {"image": step.title, "arguments": step.arguments},
                "internalParameters": {"inputs": labels.get(INPUTS_LABEL, "")},
                "resolvedDependencies": list(_dependencies(step, parents, commit)),
            },
            "runDetails": {
                "builder": {"id": _BUILDER},
                "metadata": {"finishedOn": labels.get(CREATED_LABEL, "")},
            },
        },
    }


def _dependencies(
    step: Step, parents: Mapping[str, str], commit: str | None
) -> Iterator[dict[str, Any]]:
    if commit:
        yield {"name": "checkout", "digest": {"gitCommit": commit}}
    for name in step.sources:
        source = step.declaration.sources[name]
        if not source.optional:
            yield {"name": name, **_origin(name, source)}
    for name, digest in parents.items():
        yield {"name": name, "digest": _digest(digest)}


def _origin(name: str, source: Source) -> dict[str, Any]:
    if source.path:
        return {"uri": f"pkg:generic/{name}"}  # a work tree, which has no digest
    uri = source.url
    if source.pypi:
        package, _, version = source.pypi.partition("==")
        uri = f"pkg:pypi/{package.lower()}@{version}"
    return {"uri": uri, "digest": {"sha256": source.sha256}}


def _digest(text: str) -> dict[str, str]:
    algorithm, _, value = text.partition(":")
    return {algorithm: value}
