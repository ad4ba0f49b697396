"""kojiweb's WSGI entry: Koji's own, with the status of an error that the sender has made.

Koji answers every error with 500, and calls it a bug. Here a parameter that is no number, or that
names nothing, is answered with 400 or 404, and a page that needs another user with 403.

Koji redirects to any address in its parameter `page`, and after logging out to one without TLS,
where nothing answers if the port is not the usual one. Here it redirects to its own pages.

Requests that have waited until their client left are not passed on. kojiweb compiles the regular
expression that it searches for, in its only process; a long one could take it seconds.
"""

import importlib
import importlib.util
import re
import sys
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from threading import Lock
from types import SimpleNamespace, TracebackType
from typing import Any
from xmlrpc.client import Fault

if __name__.startswith("_mod_wsgi_"):
    # Last, so that nothing here hides a module of Koji's.
    sys.path.append(str(Path(__file__).parent))
from clients import answer_nobody, is_abandoned

PAGES = "/usr/share/koji-web/"
WRONG = "The address has a parameter that this page cannot use."
# What Koji's hub, its XML parser and its database say of values, in faults that are as well those
# of bugs.
REFUSED = re.compile(
    "Invalid order: |invalid input syntax|out of range|operator does not exist|not well-formed"
    # A column to sort by that there is not.
    "|^<class 'KeyError'>: "
)

# A browser shows the text of an answer that redirects to nothing.
FIRST_PAGE = "/koji/"
# Characters of an address; Apache's own limit of a request's first line is about the same.
LONGEST = 8000
READERS = ("/cgi.py", "/urllib/parse.py")

# Characters of a regular expression. With 8,000, Python can need five seconds.
LONGEST_EXPRESSION = 255

# Several threads may get the first requests.
LOADING = Lock()


def status_of(error: BaseException | None, koji: Any) -> str | None:
    """The status for an error of a page; None if it is not the sender's."""
    if isinstance(error, koji.ServerOffline):
        return "503 Service Unavailable"
    # Others derive from these, and tell of the hub's state.
    if type(error) in {koji.AuthError, koji.ActionNotAllowed}:
        return "403 Forbidden"
    if type(error) is koji.GenericError and str(error).lower().startswith("no "):
        return "404 Not Found"
    if type(error) in {koji.GenericError, koji.ParameterError} or _is_about_a_value(error, koji):
        return "400 Bad Request"
    return None


def _is_about_a_value(error: BaseException | None, koji: Any) -> bool:
    """Whether a page cannot use a value that it was called with, or was called without one."""
    match error:
        case OverflowError():
            # A number that is too long for XML-RPC.
            return True
        case OSError():
            # requests': the hub could not read what kojiweb sent, from Koji 1.36 on.
            return getattr(getattr(error, "response", None), "status_code", None) == 400
        case Fault():
            return REFUSED.search(error.faultString) is not None
        case AttributeError() | TypeError() if "'list'" in str(error):
            # Given twice.
            return True
        case LookupError() | TypeError() | ValueError():
            # `koji` has the names of states, Python's modules those of parameters.
            file = _raised_in(error.__traceback__)
            return file.startswith((PAGES, koji.__file__)) or file.endswith(READERS)
    return False


def _raised_in(traceback: TracebackType | None) -> str:
    """The file whose code raised an exception."""
    while traceback and traceback.tb_next:
        traceback = traceback.tb_next
    return traceback.tb_frame.f_code.co_filename if traceback else ""


def explain_errors(util: Any, koji: Any) -> None:
    """Let error pages say whose error it is. `util` is kojiweb's module."""
    explain_error = util.explainError

    def explain(error: BaseException) -> tuple[str, int]:
        text, level = explain_error(error)
        wrong = (status_of(error, koji) or "")[:3] in {"400", "404"}
        return WRONG if wrong else text, level

    util.explainError = explain


def stay_here(location: str) -> str:
    """An address of a redirect without the name of a host, however it is written."""
    if len(location) > LONGEST:
        return FIRST_PAGE
    # Browsers leave out blanks and tabs, and take a backslash for a slash.
    location = re.sub(r"[\x00-\x20\x7f]", "", location).replace("\\", "/")
    while match := re.match(r"[^:/?#]+:|/{2,}[^/?#]*", location):
        location = location[match.end() :]
    return location or FIRST_PAGE


def refuse_long_expressions(index: Any) -> None:
    """Let kojiweb's module of pages, `index`, say that a long expression is invalid."""

    def compile_short(pattern: str, flags: int = 0) -> re.Pattern[str]:
        if len(pattern) > LONGEST_EXPRESSION:
            raise re.error(f"longer than {LONGEST_EXPRESSION} characters")
        return re.compile(pattern, flags)

    index.re = SimpleNamespace(**{**vars(re), "compile": compile_short})


@cache
def _entry(script: str) -> Callable[..., Iterable[bytes]]:
    """The WSGI application in Koji's script."""
    koji = importlib.import_module("koji")
    explain_errors(importlib.import_module("kojiweb.util"), koji)
    refuse_long_expressions(importlib.import_module("index"))
    spec = importlib.util.spec_from_file_location("koji_web_entry", script)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    application: Callable[..., Iterable[bytes]] = module.application
    return application


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Pass one request to kojiweb."""
    if is_abandoned(environ):
        return answer_nobody(start_response)
    # httpd.conf says which script; Koji looks for its other files beside it.
    script = environ["nagoya.web"]
    redirects = False

    def start(status: str, headers: list[tuple[str, str]]) -> Any:
        nonlocal redirects
        # Koji answers an exception while it handles it.
        if status.startswith("500"):
            status = status_of(sys.exc_info()[1], sys.modules["koji"]) or status
        redirects = status.startswith("3")
        if redirects:
            headers = [
                (name, stay_here(value) if name == "Location" else value)
                for name, value in headers
                if name != "Content-Length"
            ]
        return start_response(status, headers)

    with LOADING:
        koji_application = _entry(script)
    answer = koji_application({**environ, "SCRIPT_FILENAME": script}, start)
    # Koji's text for a redirect is the address as a user has written it, for HTML.
    return [] if redirects else answer
