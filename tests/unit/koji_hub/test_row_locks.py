"""koji-hub's refusal of row locks, with a handler that dispatches calls as Koji's does."""

from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

LOCK = {"rowlock": True}


class GenericError(Exception):
    """As Koji's."""


class Handler:
    def _dispatch(self, method: str, params: list[Any]) -> Any:
        if method == "multiCall":
            return [self._dispatch(call["methodName"], call["params"]) for call in params[0]]
        return method


@pytest.fixture
def handler(load_script: Callable[[str], ModuleType]) -> Any:
    module = load_script("koji-hub/row_locks.py")
    names = {
        "ModXMLRPCRequestHandler": type("Handler", (Handler,), {}),
        "koji": SimpleNamespace(GenericError=GenericError),
    }
    module.refuse_row_locks(names)
    return names["ModXMLRPCRequestHandler"]()


@pytest.mark.parametrize(
    "params",
    [
        [None, None, LOCK],
        [{"__starstar": True, "queryOpts": LOCK}],
        [{"__starstar": True, "opts": {"order": "id", **LOCK}}],
    ],
)
def test_a_lock_is_refused(handler: Any, params: list[Any]) -> None:
    with pytest.raises(GenericError, match="rowlock"):
        handler._dispatch("repo.query", params)
    with pytest.raises(GenericError, match="rowlock"):
        handler._dispatch("multiCall", [[{"methodName": "repo.query", "params": params}]])


def test_other_calls_are_dispatched(handler: Any) -> None:
    params = ["rowlock", {"queryOpts": {"order": "rowlock", "rowlock": False}}, [[["deep"]]]]
    assert handler._dispatch("listTags", params) == "listTags"
    call = {"methodName": "listTags", "params": params}
    assert handler._dispatch("multiCall", [[call, call]]) == ["listTags", "listTags"]
