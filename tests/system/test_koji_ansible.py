"""koji-ansible's modules change a Koji once: `make test-ansible SOURCE=FOLDER`, its source tree."""

import os
import re
import sys
from pathlib import Path

import yaml

from tests.system.conftest import Koji

TASKS = [
    {"koji_user": {"name": "ansible-owner", "permissions": ["build"]}},
    {"koji_external_repo": {"name": "ansible-external", "url": "https://example.org/$arch/"}},
    {"koji_tag": {
        "name": "ansible", "arches": "x86_64",
        "packages": {"ansible-owner": ["hello", "world"]},
    }},
    {"koji_tag": {
        "name": "ansible-build", "arches": "x86_64",
        "inheritance": [{"parent": "ansible", "priority": 0}],
        "external_repos": [{"repo": "ansible-external", "priority": 5, "merge_mode": "bare"}],
        "groups": {"build": ["bash", "coreutils"]},
        "extra": {"mock.new_chroot": "0", "rpm.macro.dist": ".site"},
    }},
    {"koji_tag": {"name": "ansible-parent"}},
    {"koji_tag_inheritance": {
        "parent_tag": "ansible-parent", "child_tag": "ansible", "priority": 7,
    }},
    {"koji_tag_packages": {"tag": "ansible", "blocked_packages": ["world"]}},
    {"koji_target": {
        "name": "ansible", "build_tag": "ansible-parent", "dest_tag": "ansible",
    }},
    {"koji_host": {
        "name": "ansible-builder", "arches": ["x86_64", "i686"], "capacity": 3,
        "channels": ["default", "ansible-channel"],
    }},
    {"koji_btype": {"name": "ansible-type"}},
    {"koji_archivetype": {
        "name": "ansible-archive", "description": "An archive", "extensions": "ansible",
    }},
    {"koji_cg": {"name": "ansible-generator", "user": "ansible-owner", "state": "present"}},
]  # fmt: skip
"""Each module but koji_call, which reports a change whatever it calls."""


def test_modules_change_nothing_the_second_time(running: Koji, tmp_path: Path) -> None:
    assert applied(running, tmp_path) == len(TASKS)
    session = running.session()
    assert {
        package["package_name"]: package["blocked"] for package in session.listPackages("ansible")
    } == {"hello": False, "world": True}
    (repo,) = session.getTagExternalRepos("ansible-build")
    assert (repo["external_repo_name"], repo["merge_mode"]) == ("ansible-external", "bare")
    assert session.getBuildConfig("ansible-build")["extra"] == {
        "mock.new_chroot": "0", "rpm.macro.dist": ".site",
    }  # fmt: skip
    inherited = [parent["name"] for parent in session.getFullInheritance("ansible-build")]
    assert inherited == ["ansible", "ansible-parent"]
    assert session.getBuildTarget("ansible")["build_tag_name"] == "ansible-parent"
    assert session.getHost("ansible-builder")["capacity"] == 3

    assert applied(running, tmp_path) == 0


def applied(koji: Koji, folder: Path) -> int:
    """Run a playbook with TASKS; how many of them changed something."""
    playbook = folder / "playbook.yml"
    playbook.write_text(
        yaml.safe_dump([{"hosts": "localhost", "gather_facts": False, "tasks": TASKS}])
    )
    source = Path(os.environ["KOJI_ANSIBLE"])
    assert (source / "library").is_dir(), f"{source} is no source tree of koji-ansible"
    koji.environment |= {
        "ANSIBLE_LIBRARY": str(source / "library"),
        "ANSIBLE_MODULE_UTILS": str(source / "module_utils"),
        "KOJI_PROFILE": f"nagoya-{koji.system}",
        "LC_ALL": "C.UTF-8",
    }
    interpreter = f"ansible_python_interpreter={sys.executable}"
    command = ["ansible-playbook", "-i", "localhost,", "-c", "local", "-e", interpreter]
    output = koji.run(*command, str(playbook)).stdout
    (changed,) = re.findall(r"ok=\d+ +changed=(\d+) +unreachable=0 +failed=0", output)
    return int(changed)
