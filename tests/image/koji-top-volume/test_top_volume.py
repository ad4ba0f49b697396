"""koji-top-volume by itself."""

from tests.image.tracked import Containers, outcome, read_tree

FOLDER = "/mnt/koji"
IMAGE = "koji-top-volume"
DIRECTORIES = ["packages", "repos", "work", "scratch", "repos-dist", "vol"]


def test_makes_the_directories_for_the_hubs_user(containers: Containers) -> None:
    container = containers.start(IMAGE, read_only=True)
    assert outcome(container)[0] == 0
    tree = read_tree(container, FOLDER)
    assert tree.keys() == {"", ".complete", *DIRECTORIES}
    for name in ("", *DIRECTORIES):
        member, _ = tree[name]
        assert (member.uid, member.gid, member.mode & 0o7777) == (33, 33, 0o755)


def test_started_again_it_changes_nothing(containers: Containers) -> None:
    container = containers.start(IMAGE)
    assert outcome(container)[0] == 0
    work = f"rmdir {FOLDER}/vol; mkdir {FOLDER}/plugin; chown 0:0 {FOLDER} {FOLDER}/work"
    assert containers.finish(IMAGE, "sh", "-c", work, volumes_from=[container.name])[0] == 0
    before = read_tree(container, FOLDER)
    container.start()
    status, output = outcome(container)
    assert status == 0
    assert "is complete already" in output
    assert {name: (member.mtime, member.uid) for name, (member, _) in before.items()} == {
        name: (member.mtime, member.uid)
        for name, (member, _) in read_tree(container, FOLDER).items()
    }


def test_completes_a_top_directory_from_elsewhere(containers: Containers) -> None:
    container = containers.create(IMAGE)
    bring = f"mkdir -p {FOLDER}/packages/bash && chown -R 7:7 {FOLDER}/packages"
    assert containers.finish(IMAGE, "sh", "-c", bring, volumes_from=[container.name])[0] == 0
    container.start()
    assert outcome(container)[0] == 0
    tree = read_tree(container, FOLDER)
    assert tree.keys() == {"", ".complete", "packages/bash", *DIRECTORIES}
    assert tree["packages/bash"][0].uid == tree["packages"][0].uid == 7
    assert tree["repos"][0].uid == 33


def test_is_ready_once_all_is_made(containers: Containers) -> None:
    container = containers.start(IMAGE)
    assert outcome(container)[0] == 0
    ask = ("python3", "/usr/lib/nagoya/health.py")
    status, output = containers.finish(IMAGE, *ask, volumes_from=[f"{container.name}:ro"])
    assert (status, output) == (0, f"ready: Koji's directories in {FOLDER}\n")
    assert containers.finish(IMAGE, *ask)[0] == 1
