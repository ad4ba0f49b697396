"""koji-habitude as a library: tags, targets and the like, applied to a hub.

Its command line exits with 0 whatever went wrong, so it is called from Python. The work-arounds
here are for version 0.9.0.
"""

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from nagoya.errors import LifecycleError
from nagoya.koji.hub import HubConnection

TYPES = (
    "archive-type", "build-type", "channel", "content-generator", "external-repo", "group", "host",
    "multi", "permission", "tag", "target", "template",
)  # fmt: skip
"""The types of its documents, less `user`, which is Nagoya's."""


def apply(hub: HubConnection, documents: Sequence[dict[str, Any]]) -> int:
    """Apply documents to a hub; the number of changes.

    Raises LifecycleError with koji-habitude's message.
    """
    try:
        from koji_habitude.exceptions import HabitudeError  # noqa: PLC0415 - an optional extra
        from koji_habitude.koji import ClientSession  # noqa: PLC0415
        from koji_habitude.loader import YAMLLoader  # noqa: PLC0415
        from koji_habitude.workflow import ApplyWorkflow, WorkflowPhantomsError  # noqa: PLC0415
    except ImportError:
        raise LifecycleError(
            "koji-habitude is not installed", "pip install koji-habitude==0.9.0"
        ) from None

    class Loader(YAMLLoader):  # type: ignore[misc]
        """koji-habitude's puts every mapping's line into the mapping, and then takes it for
        content."""

        def load(self) -> Iterator[dict[str, Any]]:
            for document in super().load():
                yield {
                    key: value if key.startswith("__") else _plain(value)
                    for key, value in document.items()
                }

    class Apply(ApplyWorkflow):  # type: ignore[misc]
        """Runs to its end without pausing for a display."""

        def get_session(self, profile: str = "") -> ClientSession:
            """koji-habitude's finds profiles in ~/.koji only."""
            ca = str(hub.profile.ca)
            session = ClientSession(hub.profile.urls["hub"], opts={"serverca": ca})
            session.ssl_login(cert=str(hub.profile.certificate()), serverca=ca)
            vars(session)["_currentuser"] = session.getLoggedInUser()
            return session

        def workflow_state_change(self, _before: Any, _after: Any) -> bool:
            return False

        def processor_step_callback(self, _step: int, _handled: int) -> None:
            pass

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "seed.yml"
        path.write_text(yaml.safe_dump_all(documents, sort_keys=False))
        workflow = Apply(paths=[str(path)])
        workflow.cls_yamlloader = Loader
        try:
            workflow.run()
        except HabitudeError as error:
            raise LifecycleError(f"koji-habitude: {error}") from None
        except WorkflowPhantomsError as error:
            names = ", ".join(" ".join(str(part) for part in key) for key in error.report.phantoms)
            raise LifecycleError(
                f"the seed refers to objects that neither it nor the hub has: {names}",
                "declare them in the seed, or correct their names",
            ) from None
    return int(workflow.summary.total_changes)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items() if key != "__line__"}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value
