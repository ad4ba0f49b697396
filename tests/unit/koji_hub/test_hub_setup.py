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


def test_a_new_sidetag_requests_its_repository_where_nothing_else_does(
    setup: ModuleType, root: Path
) -> None:
    """Each plugin with its sidetag.conf, as in Koji without sidetags, 1.30, 1.34 and 1.35."""
    setup.request_sidetag_repositories(root)
    plugin, conf = root / setup.SIDETAG_PLUGIN, root / setup.SIDETAG_CONF
    for path in (plugin, conf):
        path.parent.mkdir(parents=True)
    old, new = "[sidetag]\nremove_empty = off\n", "# Or kojira does.\n# trigger_new_repo = False\n"
    for code, before, after in (
        ("def createSideTag(): ...", old, old),
        ("make_task('newRepo', args)", old + new, old + new),
        (
            "check = request_repo(id)",
            old + new,
            old + "# Or kojira does.\ntrigger_new_repo = True\n",
        ),
    ):
        plugin.write_text(code)
        conf.write_text(before)
        setup.request_sidetag_repositories(root)
        assert conf.read_text() == after
    conf.write_text(old)
    with pytest.raises(Fatal, match="no option trigger_new_repo"):
        setup.request_sidetag_repositories(root)
