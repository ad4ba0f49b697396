"""Images of a live system, as far as no engine is needed: what is declared, needed, and written."""

import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from nagoya.build.steps import build_graph, dependencies
from nagoya.build.volume_archive import build_context, repack, select_volumes
from nagoya.config import extends, loader
from nagoya.config.declaration import Declaration
from nagoya.engine.image_builds import commit_changes
from nagoya.errors import DeclarationError
from nagoya.utils.graph import waves

SOUND = """
base: {image: "debian:bookworm-slim", suite: bookworm}
images:
  base: {}
  hub: {}
  %s
containers:
  store: {image: base, detach: false}
  koji: {image: hub, ports: ["8443:443", 80]}
"""
FILES = {
    "base/Dockerfile": "FROM debian:bookworm-slim\n",
    "hub/Dockerfile": "FROM base\n",
    "seed.yml": "",
    "root/build.sh": "",
}
LIVE = "demo: {system: {%s}}"
COMMIT = "commit: {koji: hub-demo}"

Read = Callable[..., Declaration]


@pytest.fixture
def read(tree: Callable[..., Path]) -> Read:
    """Read a moromi.yml with this entry more, beside other files."""

    def read(entry: str, **beside: str) -> Declaration:
        files = {f"{name}.yml": text for name, text in beside.items()}
        return loader.read(tree({**FILES, **files, "moromi.yml": SOUND % entry}) / "moromi.yml")

    return read


def test_what_it_needs_and_gives(read: Read) -> None:
    declared = read(LIVE % (COMMIT + ", persist: {store: store-demo}"))
    assert declared.produced_by == {"hub-demo": "demo", "store-demo": "demo"}
    steps = build_graph(declared).steps
    assert waves(dependencies(steps)) == [["base"], ["hub"], ["demo"]]
    assert steps["demo"].outputs == ("hub-demo", "store-demo")
    assert [name for name, step in steps.items() if step.file] == ["base", "hub"]


def test_what_stands_on_a_given_image_comes_after_it(read: Read, tree: Callable[..., Path]) -> None:
    tree({"mine/Dockerfile": "FROM hub-demo\n"})
    declared = read(LIVE % COMMIT + "\n  mine: {}")
    order = waves(dependencies(build_graph(declared).steps))
    assert order == [["base"], ["hub"], ["demo"], ["mine"]]


def test_the_root_is_needed_too(read: Read, tree: Callable[..., Path]) -> None:
    tree({"tools/Dockerfile": "FROM debian:bookworm-slim\n"})
    root = "root: {image: tools, entrypoint: [make]}"
    steps = build_graph(read(LIVE % f"{COMMIT}, {root}" + "\n  tools: {}")).steps
    assert "tools" in steps["demo"].images


def test_who_extends_the_file_may_use_what_it_gives(read: Read) -> None:
    """An entry's containers are those of the file that says it, even if another extends that."""
    extending = "extends: moromi.yml\ncontainers: {koji: {image: hub-demo}}\n"
    path = read(LIVE % COMMIT, extending=extending).path.parent / "extending.yml"
    declared = loader.read(path)
    assert declared.containers["koji"].image == "hub-demo"
    assert loader.read_system(declared, "demo").containers["koji"].image == "hub"
    assert build_graph(declared).steps["demo"].images == ("base", "hub")


def test_a_circle_is_named(read: Read) -> None:
    declared = read(
        LIVE % f"containers: extending.yml, {COMMIT}",
        extending="extends: moromi.yml\ncontainers: {koji: {image: hub-demo}}\n",
    )
    with pytest.raises(DeclarationError, match="circular dependency: demo => demo"):
        build_graph(declared)


def test_what_is_wrong_in_another_file_is_reported_with_its_name(read: Read) -> None:
    with pytest.raises(DeclarationError) as caught:
        read(
            LIVE % f"containers: extending.yml, {COMMIT}",
            extending="extends: moromi.yml\ncontainers: {koji: {lnks: []}}\n",
        )
    (problem,) = caught.value.problems
    assert problem.startswith("images.demo.system.containers: ")
    assert problem.endswith(
        "extending.yml: containers.koji.lnks: unknown key; did you mean 'links'?"
    )


def test_a_fixed_port_is_nobody_elses_business(read: Read) -> None:
    declared = read(LIVE % COMMIT)
    ports = declared.with_free_ports().containers["koji"].ports
    assert [(port.container, port.host) for port in ports] == [(443, None), (80, None)]
    assert declared.containers["koji"].ports[0].host == 8443


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("demo: {system: }", "images.demo: the folder demo/ has no Dockerfile"),
        (LIVE % "", "images.demo.system: makes no image: needs 'commit' or 'persist'"),
        (
            "demo: {folder: hub, system: {commit: {koji: hub-demo}}}",
            "images.demo: has both 'folder' and 'system'; keep one",
        ),
        (
            LIVE % "commit: {kojii: hub-demo}",
            "images.demo.system.commit.kojii: unknown container 'kojii'; did you mean 'koji'?",
        ),
        (
            LIVE % "persist: {other: hub-demo}",
            "images.demo.system.persist.other: unknown container 'other'",
        ),
        (
            LIVE % "commit: {koji: hub}",
            "images.demo.system.commit.koji: the image 'hub' is already made by images.hub",
        ),
        (
            LIVE % "commit: {koji: same}, persist: {koji: same}",
            "images.demo.system.persist.koji: the image 'same' is already made by "
            "images.demo.system.commit.koji",
        ),
        (
            LIVE % "commit: {koji: Hub}",
            "images.demo.system.commit.koji: 'Hub' is not a name for an image, such as koji-hub",
        ),
        (LIVE % f"{COMMIT}, sead: x", "images.demo.system.sead: unknown key; did you mean 'seed'?"),
        (LIVE % f"{COMMIT}, seed: away.yml", "images.demo.system.seed: no such file: away.yml"),
        (LIVE % f"{COMMIT}, secrets: no thanks", "images.demo.system.secrets: should be true or"),
        (
            LIVE % f"{COMMIT}, containers: away.yml",
            "images.demo.system.containers: ",
        ),
        (
            LIVE % f"{COMMIT}, root: {{image: hubb, entrypoint: [a]}}",
            "images.demo.system.root.image: unknown image 'hubb'; did you mean 'hub'?",
        ),
        (
            LIVE % f"{COMMIT}, root: {{image: hub, entrypoint: [a], fils: x}}",
            "images.demo.system.root.fils: unknown key; did you mean 'files'?",
        ),
        (
            LIVE % f"{COMMIT}, root: {{image: hub, entrypoint: [a], files: away}}",
            "images.demo.system.root.files: no such folder: away",
        ),
        (
            LIVE % f"{COMMIT}, root: {{image: hub}}",
            "images.demo.system.root: needs 'entrypoint'",
        ),
        (
            LIVE % f"{COMMIT}, root: {{image: hub, entrypoint: []}}",
            "images.demo.system.root.entrypoint: ",
        ),
        (
            LIVE % f"{COMMIT}, root: {{image: hub, entrypoint: [a], volumes_from: [stor]}}",
            "images.demo.system.root.volumes_from[0]: unknown container 'stor'; "
            "did you mean 'store'?",
        ),
    ],
)
def test_bad_input_is_reported(read: Read, entry: str, message: str) -> None:
    with pytest.raises(DeclarationError) as caught:
        read(entry)
    (problem,) = caught.value.problems
    assert problem.startswith(message)


def test_an_entry_gives_images_and_is_none(read: Read, tree: Callable[..., Path]) -> None:
    text = (SOUND % LIVE % COMMIT).replace("image: hub,", "image: demo,")
    with pytest.raises(DeclarationError, match=r"koji\.image: unknown image 'demo'"):
        loader.read(tree({**FILES, "moromi.yml": text}) / "moromi.yml")


def test_ours_are_named(checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = loader.locate(Path("nagoya-demo"))
    assert path == checkout / "demo" / "moromi.yml"
    assert extends.resolve("./nagoya-demo", tmp_path) == tmp_path / "nagoya-demo"
    declared = loader.read(path)
    images = {container.image for container in declared.containers.values()}
    assert images == set(declared.produced_by)
    blank = loader.read(loader.locate(None))
    assert loader.read_system(declared, "demo").containers == blank.containers
    for name, container in declared.containers.items():
        assert container.model_copy(update={"image": ""}) == blank.containers[name].model_copy(
            update={"image": ""}
        )


@pytest.mark.parametrize(
    ("paths", "secret", "rest", "left_out", "embedded"),
    [
        (["/a"], ["/a"], (), (), ("/a",)),
        (["/a", "/b"], ["/a/x"], ("/a", "/b"), ("/a/x",), ("/a/x",)),
        (["/a/b", "/c"], ["/a"], ("/c",), (), ("/a",)),
        (["/a"], ["/b"], ("/a",), (), ()),
        (["/ab"], ["/a"], ("/ab",), (), ()),
    ],
)
def test_secrets_are_left_out_or_named(
    paths: list[str],
    secret: list[str],
    rest: tuple[str, ...],
    left_out: tuple[str, ...],
    embedded: tuple[str, ...],
) -> None:
    without = select_volumes(paths, secret, keep_secrets=False)
    assert (without.paths, without.left_out, without.embedded) == (rest, left_out, ())
    assert "LABEL" not in without.dockerfile("image")
    whole = select_volumes(paths, secret, keep_secrets=True)
    assert (whole.paths, whole.left_out, whole.embedded) == (tuple(paths), (), embedded)
    assert ("LABEL" in whole.dockerfile("image")) == bool(embedded)


def test_a_volume_in_another_one_comes_with_that_one() -> None:
    assert select_volumes(["/a/b", "/a", "/ab"], [], keep_secrets=True).paths == ("/a", "/ab")


def copied(*members: tarfile.TarInfo) -> bytes:
    """An archive as the engine copies a folder out of a container."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for member in members:
            archive.addfile(member, io.BytesIO(b"text") if member.isreg() else None)
    return packed.getvalue()


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname, entry.mode, entry.uid = kind, link, 0o2750, 33
    if kind == tarfile.REGTYPE:
        entry.size = 4
        entry.pax_headers = {"SCHILY.xattr.security.capability": "\udcff\0"}
    return entry


def test_a_volume_takes_its_folder_s_place_without_its_secrets() -> None:
    archive = copied(
        member("volume", tarfile.DIRTYPE),
        member("volume/file"),
        member("volume/linked", tarfile.LNKTYPE, "volume/file"),
        member("volume/symlink", tarfile.SYMTYPE, "file"),
        member("volume/keys", tarfile.DIRTYPE),
        member("volume/keys/key"),
        member("volume/same", tarfile.LNKTYPE, "volume/keys/key"),
        member("volume/" + 30 * "long/"),
    )
    output = io.BytesIO()
    pieces = (archive[start : start + 700] for start in range(0, len(archive), 700))
    with tarfile.open(fileobj=output, mode="w", format=tarfile.PAX_FORMAT) as tar:
        repack(pieces, "/data/volume", ["/data/volume/keys"], tar)
    output.seek(0)
    with tarfile.open(fileobj=output) as tar:
        members = tar.getmembers()
    assert [entry.name for entry in members] == [
        "data/volume", "data/volume", "data/volume/file", "data/volume/linked",
        "data/volume/symlink", ("data/volume/" + 30 * "long/").rstrip("/"),
    ]  # fmt: skip
    assert [entry.isdir() for entry in members[:2]] == [False, True]
    assert (members[1].mode, members[1].uid) == (0o2750, 33)
    assert (members[3].linkname, members[4].linkname) == ("data/volume/file", "file")
    for entry in members[2:4]:
        assert entry.pax_headers["SCHILY.xattr.security.capability"] == "\udcff\0"


def test_a_build_context() -> None:
    context = b"".join(build_context("FROM it\n", io.BytesIO(b"volumes" * 1000)))
    with tarfile.open(fileobj=io.BytesIO(context)) as archive:
        files = {entry.name: archive.extractfile(entry) for entry in archive}
        assert {name: file.read() for name, file in files.items() if file} == {
            "Dockerfile": b"FROM it\n",
            "volumes.tar": b"volumes" * 1000,
        }


def test_a_commit_takes_the_container_s_settings_back() -> None:
    image = {"Env": ["PATH=/bin", "OWN=a $b"], "Labels": {"kept": "1"}, "Cmd": ["serve"]}
    container = {
        "Env": ["PATH=/bin", "OWN=x", "KOJI_WEB_URL=https://127.0.0.1"],
        "Labels": {"kept": "1", "nagoya.system": "build"},
        "Cmd": ["other"],
    }
    assert commit_changes(container, image, {"nagoya.image": 'a "b"'}) == [
        'ENV OWN="a \\$b"',
        'ENV KOJI_WEB_URL=""',
        'LABEL "nagoya.system"=""',
        'LABEL "nagoya.image"="a \\"b\\""',
        'CMD ["serve"]',
    ]
    assert commit_changes(image, image, {}) == []
