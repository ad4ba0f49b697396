"""koji-hub's setup on a temporary root: it fits itself to the Koji it finds."""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from util.entry import Fatal

HUB, WEB = "usr/share/koji-hub/kojixmlrpc.py", "usr/share/koji-web/scripts/wsgi_publisher.py"


@pytest.fixture
def setup(load_script: Callable[[str], ModuleType]) -> ModuleType:
    return load_script("koji-hub/setup.py")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root with the parts of Koji 1.30 that setup looks at."""
    snippets = tmp_path / "usr/lib/nagoya/upstream/conf.d"
    for path in (snippets, tmp_path / "etc/apache2"):
        path.mkdir(parents=True)
    (snippets / "kojihub.conf").write_text(f"#\nAlias /kojihub /{HUB}\n")
    (snippets / "kojiweb.conf").write_text(
        f'#We use wsgi\nAlias /koji "/{WEB}"\nAlias /koji-static/ "/usr/share/koji-web/static/"\n'
    )
    for script in (HUB, WEB):
        (tmp_path / script).parent.mkdir(parents=True)
        (tmp_path / script).write_text("import inspect\ninspect.signature(print)\n")
    return tmp_path


def layout(setup: ModuleType, root: Path) -> list[str]:
    setup.write_layout(root)
    lines: list[str] = (root / setup.LAYOUT).read_text().splitlines()[1:]
    return lines


def test_finds_the_entries_where_koji_says_they_are(setup: ModuleType, root: Path) -> None:
    snippet = root / setup.UPSTREAM / "kojihub.conf"
    assert layout(setup, root) == [f"Define KOJIHUB_ENTRY /{HUB}", f"Define KOJIWEB_ENTRY /{WEB}"]
    snippet.write_text("Alias /kojihub /usr/share/koji-hub/kojiapp.py\n")
    assert layout(setup, root)[0] == "Define KOJIHUB_ENTRY /usr/share/koji-hub/kojiapp.py"
    snippet.write_text("# Alias /kojihub /x\n")
    with pytest.raises(Fatal, match="names no script for /kojihub"):
        layout(setup, root)


@pytest.mark.parametrize("script", [HUB, WEB, "usr/lib/python3/dist-packages/kojihub/app/x.py"])
def test_gives_back_what_is_called_and_missing(setup: ModuleType, root: Path, script: str) -> None:
    assert "Define KOJI_NEEDS_COMPAT" not in layout(setup, root)
    (root / script).parent.mkdir(parents=True, exist_ok=True)
    (root / script).write_text("args = inspect.getargspec(f)\n")
    assert "Define KOJI_NEEDS_COMPAT" in layout(setup, root)


@pytest.mark.parametrize(
    ("logout", "needed"), [("def logout():", True), ("def logout(session_id=None):", False)]
)
def test_adjusts_a_logout_that_takes_no_session(
    setup: ModuleType, root: Path, *, logout: str, needed: bool
) -> None:
    auth = root / "usr/lib/python3/dist-packages/koji/auth.py"
    auth.parent.mkdir(parents=True)
    auth.write_text(f"{logout}\n    pass\n")
    assert ("Define KOJI_NEEDS_COMPAT" in layout(setup, root)) == needed


@pytest.mark.parametrize(
    ("name", "needed"), [("class XHTMLFilter(DecodeUTF8):", True), ("class EscapeFilter:", False)]
)
def test_adjusts_a_kojiweb_that_does_not_escape_by_default(
    setup: ModuleType, root: Path, *, name: str, needed: bool
) -> None:
    library = root / "usr/share/koji-web/lib/kojiweb/util.py"
    library.parent.mkdir(parents=True)
    library.write_text(f"{name}\n    pass\n")
    assert ("Define KOJI_NEEDS_COMPAT" in layout(setup, root)) == needed
