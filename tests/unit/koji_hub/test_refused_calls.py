"""The calls that koji-hub refuses, with a handler that dispatches calls as Koji's does."""

from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest.mock import Mock
from xmlrpc.client import Binary, DateTime

import pytest

LOCK = {"rowlock": True}
SLOW = r"^(([^p]+)(p?)\3)+m?$"


class GenericError(Exception):
    """As Koji's."""


class Handler:
    answer: Any = None

    def check_session(self) -> None:
        pass

    def _dispatch(self, method: str, params: list[Any]) -> Any:
        if method == "rows":
            return self.answer
        return self.multiCall(*params) if method == "multiCall" else method

    def multiCall(self, calls: list[Any]) -> list[Any]:
        return [self._dispatch(call["methodName"], call["params"]) for call in calls]


@pytest.fixture
def handler(load_script: Callable[[str], ModuleType]) -> Any:
    module = load_script("koji-hub/refused_calls.py")
    names = {
        "ModXMLRPCRequestHandler": type("Handler", (Handler,), {}),
        "koji": SimpleNamespace(GenericError=GenericError),
        "context": SimpleNamespace(environ={}, cnx=Mock()),
    }
    module.refuse_calls(names)
    module.LONGEST_ANSWERS = 1000
    module.bound_multicalls(names)
    return names["ModXMLRPCRequestHandler"]()


@pytest.mark.parametrize(
    "params",
    [
        [None, None, LOCK],
        [{"__starstar": True, "queryOpts": LOCK}],
        [{"__starstar": True, "opts": {"order": "id", **LOCK}}],
        [[[[[[LOCK]]]]]],
    ],
)
def test_a_row_lock_is_refused(handler: Any, params: list[Any]) -> None:
    with pytest.raises(GenericError, match="rowlock"):
        handler._dispatch("repo.query", params)
    with pytest.raises(GenericError, match="rowlock"):
        handler._dispatch("multiCall", [[{"methodName": "repo.query", "params": params}]])


def test_what_only_names_the_option_is_dispatched(handler: Any) -> None:
    params = ["rowlock", {"queryOpts": {"order": "rowlock", "rowlock": False}}, [[["deep"]]]]
    assert handler._dispatch("listTags", params) == "listTags"
    call = {"methodName": "listTags", "params": params}
    assert handler._dispatch("multiCall", [[call, call]]) == ["listTags", "listTags"]


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("search", [SLOW, "rpm", "regexp"]),
        ("search", [{"__starstar": True, "terms": SLOW, "type": "rpm", "matchType": "regexp"}]),
        ("listHosts", [["x86_64", SLOW]]),
        ("getArchiveType", [f"a.{SLOW}"]),
        ("listArchives", [{"__starstar": True, "type": "win", "typeInfo": {"platforms": SLOW}}]),
        ("listArchives", [{"__starstar": True, "typeInfo": {"platforms": [SLOW]}}]),
        ("listArchives", [None, None, None, None, "win", {"platforms": DateTime(SLOW)}]),
        ("listArchives", [None, None, None, None, "win", {"platforms": Binary(SLOW.encode())}]),
        ("search", [{SLOW: 1}]),
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


@pytest.mark.parametrize("method", ["search", "multiCall"])
def test_arguments_are_a_list(handler: Any, method: str) -> None:
    """Koji would take the keys of a mapping."""
    params = {SLOW: 1, "package": 1, "regexp": 1}
    with pytest.raises(GenericError, match="are a list"):
        handler._dispatch(method, params)
    with pytest.raises(GenericError, match="are a list"):
        handler._dispatch("multiCall", [[{"methodName": method, "params": params}]])


def test_arguments_may_be_deep(handler: Any) -> None:
    params: list[Any] = []
    for _ in range(100_000):
        params = [params]
    assert handler._dispatch("search", params) == "search"


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


def test_answers_of_a_multicall_may_have_a_length_together(handler: Any) -> None:
    """Each is the method, in quotes."""
    call = {"methodName": "x" * 98, "params": []}
    assert len(handler._dispatch("multiCall", [[call] * 10])) == 10
    with pytest.raises(GenericError, match="divide it into several"):
        handler._dispatch("multiCall", [[call] * 11])


def test_one_answer_may_be_longer(handler: Any) -> None:
    assert handler._dispatch("x" * 2000, []) == "x" * 2000


def test_rows_that_are_fetched_late_are_counted(handler: Any) -> None:
    """Koji returns generators, of a history in a mapping."""
    for rows in (iter(["x" * 1000]), {"tags": iter(["x" * 1000])}):
        handler.answer = rows
        with pytest.raises(GenericError, match="divide it into several"):
            handler._dispatch("multiCall", [[{"methodName": "rows", "params": []}]])


def test_a_multicall_in_a_multicall_is_bounded(handler: Any) -> None:
    inner = {"methodName": "multiCall", "params": [[{"methodName": "x" * 98, "params": []}] * 6]}
    with pytest.raises(GenericError, match="divide it into several"):
        handler._dispatch("multiCall", [[inner, inner]])


@pytest.fixture
def reader(load_script: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch) -> Any:
    """A handler whose calls make three statements, or read three fields of a header. Its `left`
    says whether the client has left by the second."""
    module = load_script("koji-hub/refused_calls.py")
    connection = type("Connection", (), {"cursor": Mock()})()
    context = SimpleNamespace(environ={}, cnx=connection)
    koji = SimpleNamespace(GenericError=GenericError, get_header_field=lambda: Reader.field)

    class Reader(Handler):
        left, field = False, [1, 2, 3]

        def _dispatch(self, method: str, params: list[Any]) -> Any:
            for _ in range(3):
                if method.endswith("Headers"):
                    koji.get_header_field()
                else:
                    context.cnx.cursor()
            return method

    def watch(environ: Any) -> Callable[[], None]:
        looks = []

        def check() -> None:
            looks.append(1)
            if Reader.left and len(looks) == 2:
                raise module.ClientGone

        return check

    monkeypatch.setattr(module, "watch", watch)
    names = {"ModXMLRPCRequestHandler": Reader, "koji": koji, "context": context}
    module.refuse_calls(names)
    monkeypatch.setattr(module, "LONGEST_FIELDS", 10 * module.ENTRY)
    module.bound_headers(names)
    return Reader


@pytest.mark.parametrize("method", ["getTaskInfo", "getRPMHeaders", "queryHistory", "count"])
def test_a_call_that_reads_ends_once_its_client_has_left(reader: Any, method: str) -> None:
    assert reader()._dispatch(method, []) == method
    reader.left = True
    with pytest.raises(GenericError, match="nobody waits for this answer"):
        reader()._dispatch(method, [])


def test_the_fields_of_a_header_have_a_length(reader: Any) -> None:
    for field in ([1, 2, 3, 4], ["", b"x" * 100], "x" * 100):
        reader.field = field
        with pytest.raises(GenericError, match="these fields are too long for an answer"):
            reader()._dispatch("getRPMHeaders", [])
    assert reader()._dispatch("importHeaders", []) == "importHeaders"
    reader.field = "a text"
    assert reader()._dispatch("getRPMHeaders", []) == "getRPMHeaders"


@pytest.mark.parametrize("method", ["tagBuild", "host.getTask", "getaway", "importHeaders"])
def test_a_call_that_may_change_something_does_not(reader: Any, method: str) -> None:
    reader.left = True
    assert reader()._dispatch(method, []) == method
