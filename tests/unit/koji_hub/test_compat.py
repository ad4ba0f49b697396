"""koji-hub's compat: what Python 3.11 removed, what newer clients send."""

import inspect
import sys
from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any
from xml.etree import ElementTree

import pytest


@pytest.fixture
def compat(load_script: Callable[[str], ModuleType]) -> ModuleType:
    return load_script("koji-hub/compat.py")


def call(tag, event=None, *args, name="x", **opts):  # type: ignore[no-untyped-def]
    """As the hub's calls look, and one argument that is given by keyword alone."""


class Calls:
    def method(self, build: int, strict: bool = False) -> None: ...


@pytest.mark.parametrize(
    ("function", "spec", "text"),
    [
        (
            call,
            (["tag", "event"], "args", "opts", (None,)),
            "(tag, event=None, *args, **opts)",
        ),
        (
            Calls().method,
            (["self", "build", "strict"], None, None, (False,)),
            "(self, build, strict=False)",
        ),
        (lambda: None, ([], None, None, None), "()"),
    ],
)
def test_tells_the_arguments(
    compat: ModuleType, function: Any, spec: tuple[Any, ...], text: str
) -> None:
    result = compat.getargspec(function)
    assert tuple(result) == spec
    # The hub changes the list in place.
    assert isinstance(result[0], list)
    assert compat.formatargspec(*result) == text


def test_only_apache_puts_them_back(compat: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    assert getattr(inspect, "formatargspec", None) is not compat.formatargspec
    own = SimpleNamespace(formatargspec=len)
    monkeypatch.setattr(compat, "inspect", own)
    compat.install()
    assert (own.formatargspec, own.getargspec) == (len, compat.getargspec)


def auth_module(logout: Callable[..., Any]) -> Any:
    context = SimpleNamespace(session=SimpleNamespace(id=7))
    return SimpleNamespace(
        logout=logout, context=context, koji=SimpleNamespace(GenericError=ValueError)
    )


@pytest.mark.parametrize("options", [{}, {"session_id": None}, {"session_id": 7}])
def test_a_logout_may_name_its_own_session(compat: ModuleType, options: dict[str, Any]) -> None:
    auth = auth_module(lambda: "logged out")
    compat.accept_session_id(auth)
    assert auth.logout(**options) == "logged out"
    assert auth.logout.__name__ == "logout"


def test_a_logout_of_another_session_ends_none(compat: ModuleType) -> None:
    auth = auth_module(lambda: pytest.fail("logged out"))
    compat.accept_session_id(auth)
    with pytest.raises(ValueError, match="only the session that it is called in"):
        auth.logout(session_id=8)


def test_a_hub_that_knows_of_sessions_stays_as_it_is(compat: ModuleType) -> None:
    def logout(session_id: int | None = None) -> None: ...

    auth = auth_module(logout)
    compat.accept_session_id(auth)
    assert auth.logout is logout


@pytest.mark.parametrize(("digest", "error"), [(None, "has no MD5 digest"), (b"x", "a bug")])
def test_an_rpm_without_an_md5_digest_is_refused_with_that_reason(
    compat: ModuleType, monkeypatch: pytest.MonkeyPatch, digest: bytes | None, error: str
) -> None:
    def import_rpm(path: str, build: int | None = None) -> None:
        raise TypeError("a bug")

    library = SimpleNamespace(
        GenericError=ValueError,
        __version__="1.30.0",
        get_rpm_header=lambda path: {"sigmd5": digest},
        get_header_field=lambda header, name: header[name],
    )
    kojihub = ModuleType("kojihub")
    vars(kojihub).update(koji=library, import_rpm=import_rpm)
    import_rpm.__module__ = "kojihub"
    monkeypatch.setitem(sys.modules, "kojihub", kojihub)
    compat.name_missing_digest(kojihub)
    with pytest.raises((ValueError, TypeError), match=error):
        kojihub.import_rpm("/mnt/koji/work/a-1-1.noarch.rpm", build=1)


def printed(compat: ModuleType, page: str, value: object, **options: str) -> Any:
    """What a page prints for a value once compat has replaced kojiweb's filter."""
    functions = {"_CHEETAH_src": page, "printOptions": None}
    template = type("Page", (), functions)()
    former: Any = type("XHTMLFilter", (), {"filter": lambda self, value, **options: str(value)})
    util = SimpleNamespace(XHTMLFilter=former, escapeHTML=lambda text: text.replace("<", "&lt;"))
    compat.escape_values(util)
    used = former()
    used.template = template
    return used.filter(value, **options)


@pytest.mark.parametrize(
    "expression",
    ["$channel", "$params[0]", "${prefix}", "$tag['extra']", "$util.escapeHTML($name)", "$str(1)"],
)
def test_a_page_escapes_the_values_that_it_prints(compat: ModuleType, expression: str) -> None:
    assert printed(compat, "hosts.chtml", "<b>", rawExpr=expression) == "&lt;b>"


@pytest.mark.parametrize(
    "expression",
    ["$util.imageTag('yes')", "${util.sortImage($self)}", "$printOptions(1)", "$params_parsed"],
)
def test_what_a_page_composes_stays_html(compat: ModuleType, expression: str) -> None:
    assert printed(compat, "hosts.chtml", "<b>", rawExpr=expression) == "<b>"


def test_directives_print_html_except_those_on_parameters(compat: ModuleType) -> None:
    assert printed(compat, "tasks.chtml", "<b>") == "<b>"
    for page in ("taskinfo_params.chtml", "tagparent.chtml", "recentbuilds.chtml"):
        assert printed(compat, page, "<b>") == "&lt;b>"


@pytest.mark.parametrize("value", ["<b>", ["<b>"], {"<b>": 1}])
def test_the_number_of_a_buildroot_is_a_number(compat: ModuleType, value: object) -> None:
    util = SimpleNamespace(_parse_value=lambda key, value, sep=", ": f"{key}{sep}{value}")
    compat.escape_task_results(util)
    assert util._parse_value("brootid", 5) == "brootid, 5"
    assert util._parse_value("brootid", value, sep="; ") == f"; {value}"


def test_links_quote_parameters_that_are_given_twice(compat: ModuleType) -> None:
    class SafeValue(str):
        """As Koji's."""

    util = SimpleNamespace(passthrough=lambda text: SafeValue(f"&a=%20/{text}"))
    compat.quote_parameters(util)
    quoted = util.passthrough("""['x', '"><script>alert(1)']""")
    assert isinstance(quoted, SafeValue)
    assert quoted == "&a=%20/%5B%27x%27%2C%20%27%22%3E%3Cscript%3Ealert%281%29%27%5D"
    assert util.passthrough("b-c_1.2~+&d=e") == "&a=%20/b-c_1.2~+&d=e"


GROUP = {
    "name": "c<c++/>", "display_name": "C & C++", "description": '"&amp;"', "langonly": None,
    "is_default": True, "uservisible": True, "biarchonly": False, "grouplist": [],
    "packagelist": [
        {"package": "gcc&g++", "type": 'a"b', "basearchonly": None, "requires": "<&>"},
    ],
}  # fmt: skip


def test_the_groups_of_a_tag_have_any_text(compat: ModuleType) -> None:
    koji = pytest.importorskip("koji")
    library = SimpleNamespace(generate_comps=koji.generate_comps)
    compat.escape_groups(library)
    group = ElementTree.fromstring(library.generate_comps([GROUP], expand_groups=True))[0]
    texts = [group.findtext(name) for name in ("id", "name", "description", "default")]
    assert texts == ["c<c++/>", "C & C++", '"&amp;"', "true"]
    package = group.find("packagelist/packagereq")
    assert package is not None
    assert package.text == "gcc&g++"
    assert package.attrib == {"type": 'a"b', "requires": "<&>"}


def test_a_koji_that_escapes_groups_stays_as_it_is(compat: ModuleType) -> None:
    def generate(groups: Any) -> str:
        return "".join(group["name"].replace("&", "&amp;") for group in groups)

    library = SimpleNamespace(generate_comps=generate)
    compat.escape_groups(library)
    assert library.generate_comps is generate
