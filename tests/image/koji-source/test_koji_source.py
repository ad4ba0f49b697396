"""koji-source: Koji's own installation, fit for Debian."""

import stat

import pytest

from tests.image.tracked import Containers, read_tree


@pytest.mark.parametrize(
    ("image", "wanted"),
    [
        ("hub", {"usr/bin/koji", "usr/sbin/kojira", "usr/lib/koji-hub-plugins/runroot_hub.py"}),
        ("builder", {"usr/bin/koji", "usr/sbin/kojid", "usr/lib/koji-builder-plugins/runroot.py"}),
    ],
)
def test_every_program_names_debians_python(
    containers: Containers, image: str, wanted: set[str]
) -> None:
    # There is nothing to run in it, but the engine wants a command.
    tree = read_tree(containers.create("koji-source", "nothing"), f"/{image}")
    assert wanted <= set(tree)
    programs = {
        name: (member, content)
        for name, (member, content) in tree.items()
        if name.startswith(("usr/bin/", "usr/sbin/")) and member.isfile()
    }
    for name, (member, content) in programs.items():
        first, _, rest = content.partition(b"\n")
        assert b"python2" not in first, name
        assert first == b"#!/usr/bin/python3" or b"python" not in first, name
        assert rest, name
        assert stat.S_IMODE(member.mode) == 0o755, name
    assert ("usr/sbin/kojid" in programs) == (image == "builder")
    # A change of the hub concerns no builder.
    assert image == "hub" or not [name for name in tree if "kojihub" in name]
