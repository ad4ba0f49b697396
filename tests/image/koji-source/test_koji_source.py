"""koji-source: Koji's own installation, fit for Debian."""

import stat

from tests.image.tracked import Containers, read_tree


def test_every_program_names_debians_python(containers: Containers) -> None:
    # There is nothing to run in it, but the engine wants a command.
    tree = read_tree(containers.create("koji-source", "nothing"), "/koji")
    programs = {
        name: (member, content)
        for name, (member, content) in tree.items()
        if name.startswith(("usr/bin/", "usr/sbin/")) and member.isfile()
    }
    assert {"usr/bin/koji", "usr/sbin/kojid", "usr/sbin/kojira"} <= set(programs)
    for name, (member, content) in programs.items():
        first, _, rest = content.partition(b"\n")
        assert b"python2" not in first, name
        assert first == b"#!/usr/bin/python3" or b"python" not in first, name
        assert rest, name
        assert stat.S_IMODE(member.mode) == 0o755, name


def test_it_holds_kojis_plugins(containers: Containers) -> None:
    tree = read_tree(containers.create("koji-source", "nothing"), "/koji")
    assert {
        "usr/lib/koji-hub-plugins/runroot_hub.py",
        "usr/lib/koji-builder-plugins/runroot.py",
    } <= set(tree)
