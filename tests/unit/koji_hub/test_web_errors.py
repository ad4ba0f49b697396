"""koji-hub's kojiweb: which errors are the sender's, with Koji's own exceptions."""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any
from xmlrpc.client import Fault

import koji
import pytest
from requests import HTTPError, Response


def answer(status: int) -> Response:
    """An answer of the hub to kojiweb."""
    response = Response()
    response.status_code = status
    return response


@pytest.fixture
def web_errors(load_script: Callable[[str], ModuleType]) -> ModuleType:
    return load_script("koji-hub/web_errors.py")


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (koji.GenericError("No such task ID: 5"), "404"),
        (koji.GenericError("not logged-in"), "400"),
        (koji.ParameterError("x"), "400"),
        (koji.ActionNotAllowed("x"), "403"),
        (koji.AuthError("x"), "403"),
        (koji.ServerOffline("x"), "503"),
        (OverflowError("long int exceeds XML-RPC limits"), "400"),
        (AttributeError("'list' object has no attribute 'lower'"), "400"),
        (Fault(1, "<class 'Exception'>: Invalid order: x"), "400"),
        (Fault(1, "<class 'KeyError'>: 'x'"), "400"),
        (HTTPError(response=answer(400)), "400"),
    ],
)
def test_the_senders_errors(web_errors: ModuleType, error: Exception, status: str) -> None:
    assert web_errors.status_of(error, koji).startswith(f"{status} ")


@pytest.mark.parametrize(
    "error",
    [
        None,
        koji.ConfigurationError("x"),
        koji.RetryError("x"),
        ConnectionRefusedError(),
        HTTPError(response=answer(500)),
        Fault(1, "<class 'TypeError'>: a bug"),
        AttributeError("'NoneType' object has no attribute 'x'"),
        ValueError("raised nowhere"),
    ],
)
def test_other_errors(web_errors: ModuleType, error: Exception | None) -> None:
    assert web_errors.status_of(error, koji) is None


@pytest.mark.parametrize("call", ["int('x')", "{}['x']", "(lambda task: 0)()"])
def test_it_depends_on_who_raises(web_errors: ModuleType, call: str) -> None:
    def error(file: str) -> Any:
        with pytest.raises((TypeError, ValueError, KeyError)) as raised:
            eval(compile(call, file, "eval"))
        return raised.value

    lib = "/usr/lib/python3"
    readers = (f"{lib}/dist-packages/cgi.py", f"{lib}.13/urllib/parse.py")
    for file in (f"{web_errors.PAGES}scripts/index.py", *readers):
        assert web_errors.status_of(error(file), koji)[:3] == "400"
    assert web_errors.status_of(error("/usr/lib/python3/x.py"), koji) is None


def test_the_page_says_whose_error_it_is(web_errors: ModuleType, tmp_path: Path) -> None:
    util = ModuleType("util")
    util.explainError = lambda error: ("a bug", 2)  # type: ignore[attr-defined]
    web_errors.explain_errors(util, koji)
    assert util.explainError(koji.GenericError("No such tag")) == (web_errors.WRONG, 2)
    for error in (koji.ActionNotAllowed("x"), RuntimeError("x")):
        assert util.explainError(error) == ("a bug", 2)


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        ("https://koji/koji/index?a=b#c", "/koji/index?a=b#c"),
        ("taginfo?tagID=3", "taginfo?tagID=3"),
        ("/koji/tasks?x=https://evil.example/", "/koji/tasks?x=https://evil.example/"),
        ("https://evil.example", "/koji/"),
        ('http://x"><img src=x onerror=alert(1)>', "/koji/"),
        ("//[", "/koji/"),
        ("http:" + "a:" * 10**6, "/koji/"),
        ("", "/koji/"),
        ("//evil.example/x", "/x"),
        ("/\\evil.example/x", "/x"),
        ("http:evil.example", "evil.example"),
        ("http:https:evil.example", "evil.example"),
        ("http:http://evil.example/x", "/x"),
        ("http:\\\\evil/x", "/x"),
        ("https:\t//evil.example/x", "/x"),
        ("/\t/evil.example/x", "/x"),
        ("https://koji/\t/evil.example/x", "/x"),
        ("https://koji///evil.example//more.example/x", "/x"),
        ("javascript:alert(1)", "alert(1)"),
    ],
)
def test_a_redirect_stays_here(web_errors: ModuleType, location: str, expected: str) -> None:
    assert web_errors.stay_here(location) == expected


HEADERS = [("Location", "https://evil.example/x"), ("Content-Length", "3"), ("Set-Cookie", "a")]


def page(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    """As Koji answers."""
    start_response(environ["status"], HEADERS)
    return [b"<b>"]


@pytest.mark.parametrize(
    ("status", "headers", "body"),
    [
        ("302 Found", [("Location", "/x"), ("Set-Cookie", "a")], []),
        ("200 OK", HEADERS, [b"<b>"]),
    ],
)
def test_a_redirect_has_no_text(
    web_errors: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    status: str,
    headers: list[tuple[str, str]],
    body: list[bytes],
) -> None:
    """Koji's has the address, as a user has written it."""
    monkeypatch.setattr(web_errors, "_entry", lambda script: page)
    answers: list[Any] = []
    environ = {"nagoya.web": "script", "status": status}
    answer = web_errors.application(environ, lambda *values: answers.append(values))
    assert (answers, list(answer)) == ([(status, headers)], body)
