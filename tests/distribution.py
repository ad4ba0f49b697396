"""How pytest-xdist deals the tests out: by files, and those that would disturb each other as one.

A worker that has nothing more to do takes the next from the list. So the long ones come first, and
no worker waits long for another in the end.
"""

from collections.abc import Mapping

from xdist.scheduler import LoadScopeScheduling

GROUPS: Mapping[str, tuple[str, ...]] = {
    # They act on all that is on the engine, or count on what these take away: `moromi clean`
    # removes images without a name, `toji remove --stale` what the dead have left, and the README
    # gives the project's images other ancestors.
    "engine": (
        "tests/moromi/",
        "tests/system/test_installed.py",
        "tests/system/test_examples.py",
        "tests/system/test_populated.py",
        "tests/system/test_readme.py",
        "tests/system/test_upgrade.py",
        "tests/toji/test_list.py",
    ),
    # They share a Koji that takes long to make.
    "seeded": (
        "tests/system/test_browser.py",
        "tests/system/test_builds.py",
        "tests/system/test_external_repositories.py",
        "tests/system/test_fixtures.py",
        "tests/system/test_imports.py",
        "tests/system/test_signing.py",
    ),
}
"""What one worker has by itself, a test after the other: folders and files."""

FIRST = (
    "engine", "tests/system/test_states.py", "tests/system/test_fleet.py", "seeded",
    "tests/system/test_distribution.py",
)  # fmt: skip


def group_of(nodeid: str) -> str:
    """What a test is dealt out with: the name of its group, or its file."""
    file = nodeid.partition("::")[0]
    return next((name for name, members in GROUPS.items() if file.startswith(members)), file)


def rank(nodeid: str) -> int:
    """When a test's turn is; of two that are equal, as they were collected."""
    group = group_of(nodeid)
    return FIRST.index(group) if group in FIRST else len(FIRST)


class Distribution(LoadScopeScheduling):
    """Deals out one group after the other, in the order of the tests."""

    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid)
