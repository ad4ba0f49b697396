"""koji-habitude as a library: tags, targets and the like, applied to a hub.

Its command line exits with 0 whatever went wrong, so it is called from Python. The work-arounds
here are for version 0.9.0.
"""

from collections.abc import Collection, Iterator, Sequence
from typing import Any

from nagoya.config.validation import describe_errors
from nagoya.errors import DeclarationError, LifecycleError
from nagoya.koji.hub import HubConnection, hub_errors, without_logout

TYPES = (
    "archive-type", "build-type", "channel", "content-generator", "external-repo", "group", "host",
    "multi", "permission", "tag", "target", "template",
)  # fmt: skip
"""The types of its documents, less `user`, which is Nagoya's."""


def check(
    hub: HubConnection, documents: Sequence[dict[str, Any]], users: Collection[str]
) -> set[tuple[str, str]]:
    """The types and names of what documents declare, which may refer to these users.

    Changes nothing. Raises DeclarationError for a wrong key or value, and LifecycleError for
    another mistake, such as a reference to what neither they nor the hub has.
    """
    return set(_run(hub, documents, users, apply=False).namespace.keys())


def apply(hub: HubConnection, documents: Sequence[dict[str, Any]]) -> int:
    """Apply documents to a hub; the number of changes. Raises LifecycleError."""
    return int(_run(hub, documents, (), apply=True).summary.total_changes)


def _run(
    hub: HubConnection, documents: Sequence[dict[str, Any]], users: Collection[str], *, apply: bool
) -> Any:
    try:
        from koji_habitude.exceptions import (  # noqa: PLC0415 - an optional extra
            HabitudeError,
            ValidationError,
        )
        from koji_habitude.koji import ClientSession  # noqa: PLC0415
        from koji_habitude.models import CORE_MODELS, SubModel, channel  # noqa: PLC0415
        from koji_habitude.workflow import (  # noqa: PLC0415
            ApplyWorkflow,
            WorkflowPhantomsError,
            WorkflowState,
        )
    except ImportError:
        raise LifecycleError(
            "koji-habitude is not installed", "pip install koji-habitude==0.9.0"
        ) from None

    class Workflow(ApplyWorkflow):  # type: ignore[misc]
        """On these documents, up to the check of their references or to the end."""

        def load_yaml(self, _paths: Any) -> Iterator[dict[str, Any]]:
            """koji-habitude's puts every mapping's line into the mapping, and then takes it for
            content."""
            return map(dict, documents)

        def get_session(self, profile: str = "") -> ClientSession:
            """koji-habitude's finds profiles in ~/.koji only."""
            ca = str(hub.profile.ca)
            session = without_logout(ClientSession)(hub.profile.urls["hub"], opts={"serverca": ca})
            session.ssl_login(cert=str(hub.profile.certificate()), serverca=ca)
            vars(session)["_currentuser"] = session.getLoggedInUser()
            return session

        def review_resolver_report(self) -> None:
            for name in users:
                self.resolver_report.phantoms.pop(("user", name), None)
            super().review_resolver_report()

        def workflow_state_change(self, _before: Any, state: Any) -> bool:
            return not apply and state is WorkflowState.RESOLVED

        def processor_step_callback(self, _step: int, _handled: int) -> None:
            pass

    # It calls `createChannel`, which no hub has.
    channel.ChannelCreate.impl_apply = _add_channel
    # koji-habitude ignores unknown keys. The order matters: documents consist of the sub-models.
    for model in (*SubModel.__subclasses__(), *CORE_MODELS.values()):
        model.model_config["extra"] = "forbid"
        model.model_rebuild(force=True)
    workflow = Workflow(paths=[])
    try:
        with hub_errors():
            workflow.run()
    except ValidationError as error:
        where = f"{error.filename}:{error.lineno}"
        model = CORE_MODELS[error.typename]
        problems = describe_errors(error.original_exception, model)
        raise DeclarationError(
            where, [f"{error.typename} '{error.name}': {p}" for p in problems]
        ) from None
    except LifecycleError as error:
        if "get_user() got an unexpected keyword argument 'groups'" not in error.message:
            raise
        raise LifecycleError(
            f"{documents[0]['__file__']}: the hub's Koji is older than 1.34, so koji-habitude "
            "cannot set the owners of packages",
            "remove `owner` from the packages of tags; kojiadmin owns them then",
        ) from None
    except HabitudeError as error:
        raise LifecycleError(f"{error.filename}:{error.lineno}: {error.message}") from None
    except WorkflowPhantomsError as error:
        names = ", ".join(" ".join(str(part) for part in key) for key in error.report.phantoms)
        raise LifecycleError(
            f"{documents[0]['__file__']} names objects that neither it nor the hub has: {names}",
            "declare them in the seed, or correct their names",
        ) from None
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        path, kind = documents[0]["__file__"], type(error).__name__
        raise LifecycleError(
            f"koji-habitude cannot read {path}: {kind}: {error}",
            "look at its templates first: what they calculate is not checked before",
        ) from error
    return workflow


def _add_channel(change: Any, session: Any) -> Any:
    return session.addChannel(change.obj.name, change.obj.description)
