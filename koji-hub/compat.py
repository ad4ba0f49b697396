"""Adjusts Koji to this Python and to newer clients, and corrects what it sends.

- Koji up to 1.31 calls `inspect.getargspec` and `inspect.formatargspec`, which Python 3.11 removed:
  in the hub for its list of calls (`koji list-api`), in kojiweb for every page.
- Clients from 1.31 on name the session that they log out of. An older hub takes no such argument;
  the client then logs out without, but each time leaves a traceback in the hub's log.
- Content generators store any text, and XML has no form for control characters: no client can read
  an answer that contains one. See util/xml_text.py.
- Before 1.36, an RPM without an MD5 digest, as in rpm 6 format, ends its import with a TypeError.
- The groups of a tag can have any text, such as "C & C++ compilers". With that in comps.xml, which
  Koji writes without escapes, dnf does not read it, and every build of the tag fails.
- kojiweb quotes the parameters of its links, but not those that were given twice.
- Pages of kojiweb before 1.33.2, 1.34.3 and 1.35.1 print some values as HTML that others chose:
  CVE-2024-9427 and, in the parameters of tasks, others without a number. See docs/security.md.

Apache imports this into the processes that run Koji, before Koji itself. Each adjustment looks for
the code that needs it, since the version of a developer's tree says little.
"""

import functools
import importlib
import inspect
import re
import sys
import urllib.parse
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple
from xml.sax.saxutils import escape

WEB_LIBRARY = "/usr/share/koji-web/lib"

# What kojiweb's pages print as HTML on purpose: its functions that return tags and attributes, and
# variables whose text a function or the site has made.
MARKUP = (
    *("authToken", "formatLink", "imageTag", "sortImage", "stateImage", "toggleSelected"),
    *("abbr_result_text", "full_result_text", "params_parsed"),
    *("localbottom", "localfooter", "localnav", "welcomeMessage"),
)
# Elsewhere, directives such as `#if A then B else C#` print HTML that is written in the page.
PLAIN_DIRECTIVES = ("taskinfo_params.chtml", "tagparent.chtml", "recentbuilds.chtml")


class ArgSpec(NamedTuple):
    """What `inspect.getargspec` of Python 3.10 returned."""

    args: list[str]
    varargs: str | None
    keywords: str | None
    defaults: tuple[Any, ...] | None


def getargspec(function: Callable[..., Any]) -> ArgSpec:
    """The arguments of `function`, without those that can be passed by keyword only."""
    return ArgSpec(*inspect.getfullargspec(function)[:4])


def formatargspec(
    args: Sequence[str],
    varargs: str | None = None,
    varkw: str | None = None,
    defaults: Sequence[Any] | None = None,
) -> str:
    """Those arguments as they stand in a `def`, such as "(tag, event=None, **opts)"."""
    without = len(args) - len(defaults or ())
    words = [*args[:without]]
    optional = zip(args[without:], defaults or (), strict=True)
    words += [f"{name}={value!r}" for name, value in optional]
    words += [f"*{varargs}"] if varargs else []
    words += [f"**{varkw}"] if varkw else []
    return f"({', '.join(words)})"


def install() -> None:
    """Put both functions where Koji looks for them, unless this Python has them."""
    for function in (getargspec, formatargspec):
        if not hasattr(inspect, function.__name__):
            setattr(inspect, function.__name__, function)


def accept_session_id(auth: Any) -> None:
    """Let `logout` of Koji's module `auth` take the caller's own session as an argument."""
    logout = auth.logout
    if inspect.signature(logout).parameters:
        return

    def logout_session(session_id: int | None = None) -> Any:
        """expire a login session"""
        if session_id not in (None, auth.context.session.id):
            raise auth.koji.GenericError("this hub ends only the session that it is called in")
        return logout()

    logout_session.__name__ = "logout"  # which is what the hub calls it by
    auth.logout = logout_session


def name_missing_digest(kojihub: Any) -> None:
    """Let the import of an RPM without an MD5 digest fail with that reason."""
    # The functions of the package are those of its module of the same name.
    module: Any = sys.modules[kojihub.import_rpm.__module__]
    import_rpm, koji = module.import_rpm, module.koji

    @functools.wraps(import_rpm)
    def import_or_explain(path: str, *arguments: Any, **options: Any) -> Any:
        try:
            return import_rpm(path, *arguments, **options)
        except TypeError:
            if koji.get_header_field(koji.get_rpm_header(path), "sigmd5") is not None:
                raise
            raise koji.GenericError(
                f"{Path(path).name} has no MD5 digest, like all RPMs in rpm 6 format; Koji "
                f"{koji.__version__} cannot import it"
            ) from None

    module.import_rpm = kojihub.import_rpm = import_or_explain


def escape_groups(koji: Any) -> None:
    """Let comps.xml have escapes. `koji` is Koji's library."""
    generate = koji.generate_comps
    if "&amp;" in generate([defaultdict(str, name="&")]):
        return

    @functools.wraps(generate)
    def generate_comps(groups: Any, expand_groups: bool = False) -> Any:
        return generate(escape_texts([*groups]), expand_groups)

    koji.generate_comps = generate_comps


def escape_texts(value: Any) -> Any:
    """A value of lists and mappings whose texts XML can contain, attributes too."""
    if isinstance(value, list | tuple):
        return [escape_texts(each) for each in value]
    if isinstance(value, dict):
        return {key: escape_texts(each) for key, each in value.items()}
    return escape(value, {'"': "&quot;"}) if isinstance(value, str) else value


def is_markup(template: Any, expression: str | None) -> bool:
    """Whether a page's `expression`, such as `$util.imageTag('yes')`, is HTML on purpose.

    A page's own functions are, as they escape what they print. None: not known, in a directive.
    """
    if expression is None:
        return template._CHEETAH_src not in PLAIN_DIRECTIVES
    match = re.match(r"\$\{?(?:util\.)?(\w+)", expression)
    return match is not None and (match[1] in MARKUP or match[1] in vars(type(template)))


def escape_values(util: Any) -> None:
    """Let pages escape what they print. `util` is kojiweb's module.

    What a page escapes itself is not escaped twice: Koji's function leaves entities as they are.
    """

    filter_value = util.XHTMLFilter.filter

    def filter_and_escape(self: Any, value: object, **options: Any) -> Any:
        text = filter_value(self, value, **options)
        expression = options.get("rawExpr")
        return text if is_markup(self.template, expression) else util.escapeHTML(text)

    util.XHTMLFilter.filter = filter_and_escape


def escape_task_results(util: Any) -> None:
    """Let pages escape what a task's result has for the number of a buildroot."""
    parse = util._parse_value

    @functools.wraps(parse)
    def parse_value(key: str, value: object, *arguments: Any, **options: Any) -> Any:
        return parse(key if isinstance(value, int) else "", value, *arguments, **options)

    util._parse_value = parse_value


def quote_parameters(util: Any) -> None:
    """Let links quote all parameters that they pass on. `util` is kojiweb's module."""
    passthrough = util.passthrough

    # Jinja looks for attributes of the function.
    @functools.wraps(passthrough)
    def quote(*arguments: Any, **options: Any) -> Any:
        text = passthrough(*arguments, **options)
        return type(text)(urllib.parse.quote(str(text), safe="?&=%/-._~+"))

    util.passthrough = quote


# mod_wsgi knows only import, under a name of its own.
if __name__.startswith("_mod_wsgi_"):
    import mod_wsgi  # type: ignore[import-not-found]

    install()
    if mod_wsgi.process_group == "kojihub":
        # Last, so that nothing here hides a module of Koji's.
        sys.path.append(str(Path(__file__).parent))
        from util.xml_text import send_only_xml

        send_only_xml(importlib.import_module("koji.xmlrpcplus"))
        escape_groups(importlib.import_module("koji"))
        # Koji from 1.31 on has it elsewhere, and takes the argument.
        with suppress(ImportError):
            accept_session_id(importlib.import_module("koji.auth"))
    else:
        sys.path.insert(0, WEB_LIBRARY)
        kojiweb = importlib.import_module("kojiweb.util")
        quote_parameters(kojiweb)
        # Newer ones escape by default, by a filter of another name.
        if hasattr(kojiweb, "XHTMLFilter"):
            escape_values(kojiweb)
            escape_task_results(kojiweb)
