"""koji-hub's refusal of back references, with a handler that dispatches calls as Koji's does."""

from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

SLOW = r"^(([^p]+)(p?)\3)+m?$"


class GenericError(Exception):
    """As Koji's."""


class Handler:
    def _dispatch(self, method: str, params: list[Any]) -> Any:
        if method == "multiCall":
            return [self._dispatch(call["methodName"], call["params"]) for call in params[0]]
        return method


@pytest.fixture
def handler(load_script: Callable[[str], ModuleType]) -> Any:
    module = load_script("koji-hub/back_references.py")
    names = {
        "ModXMLRPCRequestHandler": type("Handler", (Handler,), {}),
        "koji": SimpleNamespace(GenericError=GenericError),
    }
    module.refuse_back_references(names)
    return names["ModXMLRPCRequestHandler"]()


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("search", [SLOW, "rpm", "regexp"]),
        ("search", [{"__starstar": True, "terms": SLOW, "type": "rpm", "matchType": "regexp"}]),
        ("listHosts", [["x86_64", SLOW]]),
        ("getArchiveType", [f"a.{SLOW}"]),
        ("listArchives", [{"__starstar": True, "type": "win", "typeInfo": {"platforms": SLOW}}]),
        ("count", ["search", SLOW, "rpm", "regexp"]),
    ],
)
def test_a_back_reference_is_refused(handler: Any, method: str, params: list[Any]) -> None:
    for name, arguments in (
        (method, params),
        ("multiCall", [[{"methodName": method, "params": params}]]),
    ):
        with pytest.raises(GenericError, match="back references"):
            handler._dispatch(name, arguments)


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("search", [r"^(nagoya|koji)-\d+\.0{1,9}$", "rpm", "regexp"]),
        ("search", [r"a\b", "rpm", "regexp", {"limit": 1}]),
        ("listHosts", []),
        ("uploadFile", [r"\1"]),
    ],
)
def test_other_calls_are_dispatched(handler: Any, method: str, params: list[Any]) -> None:
    assert handler._dispatch(method, params) == method
