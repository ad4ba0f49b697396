"""koji-habitude as a library: tags, targets and the like, made as documents say.

Its command line ends with 0 whatever went wrong, so it is called from within. What is said of it
here is true of 0.9.0.
"""

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from nagoya.errors import LifecycleError
from nagoya.koji.hub import HubConnection


def apply(access: HubConnection, documents: Sequence[dict[str, Any]]) -> int:
    """Make a hub as the documents say; how many changes that took.

    Raises LifecycleError with its words where it cannot.
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
        """Its own notes every mapping's line inside of it, and takes the note for content."""

        def load(self) -> Iterator[dict[str, Any]]:
            for document in super().load():
                yield {
                    key: value if key.startswith("__") else _plain(value)
                    for key, value in document.items()
                }

    class Apply(ApplyWorkflow):  # type: ignore[misc]
        """To its end, without stopping to be looked at."""

        def get_session(self, profile: str = "") -> ClientSession:
            """Its own knows profiles below ~/.koji alone."""
            session = ClientSession(access.urls["hub"], opts={"serverca": str(access.ca)})
            session.ssl_login(cert=str(access.certificate), serverca=str(access.ca))
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
                f"the seed needs what neither it nor the hub has: {names}",
                "declare it in the seed, or correct the name",
            ) from None
    return int(workflow.summary.total_changes)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items() if key != "__line__"}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value
