"""The builders that a hub knows."""

from nagoya.koji.hosts import BuilderHost, builder_hosts


def test_a_builder_elsewhere_has_no_container() -> None:
    hosts = [
        {"name": "kojibuilder", "enabled": True, "arches": "x86_64 i386"},
        {"name": "far", "enabled": False, "arches": "aarch64"},
    ]
    members = {"default": ["far", "kojibuilder"], "createrepo": ["kojibuilder"], "vm": []}
    updates = {"kojibuilder": 97.5, "far": None}
    far, near = builder_hosts(hosts, members, updates, ["koji", "kojibuilder"], 100.0)
    assert far == BuilderHost("far", False, False, ["aarch64"], ["default"], None)
    assert near == BuilderHost(
        "kojibuilder", True, True, ["x86_64", "i386"], ["createrepo", "default"], 2.5
    )
