"""Images of a live system, as far as no engine is needed: what is declared, needed, and written."""

import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nagoya.build.from_system import _choice
from nagoya.build.steps import build_graph, dependencies
from nagoya.config import extends, loader
from nagoya.config.declaration import Declaration
from nagoya.engine import volumes
from nagoya.engine.archive import Layer, Remade, rewrite
from nagoya.errors import DeclarationError, EngineError
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
    """An entry's containers are those of the file that says it, whoever extends that."""
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


def test_what_is_wrong_in_another_file_is_told_with_its_name(read: Read) -> None:
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
    ("entry", "told"),
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
def test_bad_input_is_told(read: Read, entry: str, told: str) -> None:
    with pytest.raises(DeclarationError) as caught:
        read(entry)
    (problem,) = caught.value.problems
    assert problem.startswith(told)


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
    given = {one.image for one in declared.containers.values()}
    assert given == set(declared.produced_by)
    blank = loader.read(loader.locate(None))
    assert loader.read_system(declared, "demo").containers == blank.containers
    for name, one in declared.containers.items():
        assert one.model_copy(update={"image": ""}) == blank.containers[name].model_copy(
            update={"image": ""}
        )


@pytest.mark.parametrize(
    ("paths", "secret", "kept", "left_out", "carried"),
    [
        (["/a"], ["/a"], (), (), ("/a",)),
        (["/a", "/b"], ["/a/x"], ("/a", "/b"), ("/a/x",), ("/a/x",)),
        (["/a/b", "/c"], ["/a"], ("/c",), (), ("/a",)),
        (["/a"], ["/b"], ("/a",), (), ()),
        (["/ab"], ["/a"], ("/ab",), (), ()),
    ],
)
def test_what_is_secret_is_left_out_or_told(
    paths: list[str],
    secret: list[str],
    kept: tuple[str, ...],
    left_out: tuple[str, ...],
    carried: tuple[str, ...],
) -> None:
    without = _choice(paths, secret, keep=False)
    assert (without.paths, without.left_out, without.carried) == (kept, left_out, ())
    assert without.labels == {}
    whole = _choice(paths, secret, keep=True)
    assert (whole.paths, whole.left_out, whole.carried) == (tuple(paths), (), carried)
    assert bool(whole.labels) == bool(carried)


def packed(files: dict[str, bytes], links: dict[str, str] | None = None) -> io.BytesIO:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
        for name, target in (links or {}).items():
            member = tarfile.TarInfo(name)
            member.type, member.linkname = tarfile.SYMTYPE, target
            archive.addfile(member)
    file.seek(0)
    return file


def saved(**configs: tuple[list[str], dict[str, Any]]) -> io.BytesIO:
    """An archive as `docker save` makes one: a layer of two images is a link the second time."""
    manifest, files, links = [], {}, {}
    places: dict[str, str] = {}
    for name, (diff_ids, more) in configs.items():
        config = {"os": "linux", "rootfs": {"type": "layers", "diff_ids": diff_ids}, **more}
        files[f"{name}.json"] = json.dumps(config).encode()
        for diff_id in diff_ids:
            path = f"{name}-{diff_id[-1]}/layer.tar"
            if diff_id in places:
                links[path] = f"../{places[diff_id]}"
            else:
                files[path] = diff_id.encode()
            places.setdefault(diff_id, path)
        paths = [f"{name}-{diff_id[-1]}/layer.tar" for diff_id in diff_ids]
        manifest.append({"Config": f"{name}.json", "RepoTags": None, "Layers": paths})
    return packed({**files, "manifest.json": json.dumps(manifest).encode()}, links)


def test_an_archive_is_told_otherwise() -> None:
    container = {"Env": ["KOJI_WEB_URL=https://127.0.0.1:1234"], "Labels": {"nagoya.system": "x"}}
    history = {"history": [{"created_by": "one"}]}
    archive = saved(
        a=(
            ["sha256:1", "sha256:2"],
            {"config": container, "container_config": container, **history},
        ),
        b=(["sha256:1", "sha256:3"], {"config": container}),
    )
    layer = Layer.of(io.BytesIO(b"contents"))
    assert layer.diff_id.startswith("sha256:d1b2a59fbea7e20077af9f91b27e95e8")
    config = {"Env": ["OWN=1"]}
    remade = [
        Remade("first", ("sha256:1", "sha256:2"), config, "made"),
        Remade("second", ("sha256:1", "sha256:3"), config, "made", layer),
    ]
    output = io.BytesIO()
    rewrite(archive, remade, output, "2026-01-01T00:00:00+00:00")
    output.seek(0)
    with tarfile.open(fileobj=output) as made:
        content = {one.name: made.extractfile(one) for one in made}
        read = {name: file.read() for name, file in content.items() if file}
    first, second = json.loads(read["manifest.json"])
    assert (first["RepoTags"], second["RepoTags"]) == (["first:latest"], ["second:latest"])
    assert [read[path] for path in first["Layers"]] == [b"sha256:1", b"sha256:2"]
    assert [read[path] for path in second["Layers"]] == [
        b"sha256:1",
        b"sha256:3",
        b"contents",
    ]
    described = json.loads(read[first["Config"]])
    assert described["config"] == config
    assert "127.0.0.1" not in json.dumps(described)
    assert [step.get("comment") for step in described["history"]] == [None, "made"]
    assert described["history"][-1]["empty_layer"]
    described = json.loads(read[second["Config"]])
    assert described["rootfs"]["diff_ids"] == ["sha256:1", "sha256:3", layer.diff_id]
    assert "empty_layer" not in described["history"][-1]


def test_an_archive_that_lacks_an_image() -> None:
    with pytest.raises(EngineError, match="what the engine saved for it has other layers"):
        rewrite(saved(), [Remade("it", ("sha256:1",), {}, "")], io.BytesIO(), "")


def test_a_folder_hides_what_lies_below_it_and_links_keep_attributes() -> None:
    given = io.BytesIO()
    with tarfile.open(fileobj=given, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, kind in (("data", tarfile.DIRTYPE), ("data/volume", tarfile.DIRTYPE)):
            member = tarfile.TarInfo(name)
            member.type, member.mode, member.uid = kind, 0o2750, 33
            archive.addfile(member)
        member = tarfile.TarInfo("data/volume/file")
        member.size = 4
        member.pax_headers = {"SCHILY.xattr.user.note": "\udcff\0"}
        archive.addfile(member, io.BytesIO(b"text"))
        member = tarfile.TarInfo("data/volume/linked")
        member.type, member.linkname = tarfile.LNKTYPE, "data/volume/file"
        archive.addfile(member)
    given.seek(0)
    output = io.BytesIO()
    with (
        tarfile.open(fileobj=given, mode="r|") as archive,
        tarfile.open(fileobj=output, mode="w", format=tarfile.PAX_FORMAT) as made,
    ):
        volumes.copy(archive, made, ["/data/volume"])
    output.seek(0)
    with tarfile.open(fileobj=output) as made:
        members = {one.name: one for one in made}
    assert list(members) == [
        "data", "data/volume", "data/volume/.wh..wh..opq", "data/volume/file", "data/volume/linked",
    ]  # fmt: skip
    assert (members["data/volume"].mode, members["data/volume"].uid) == (0o2750, 33)
    for name in ("file", "linked"):
        headers = members[f"data/volume/{name}"].pax_headers
        assert headers["SCHILY.xattr.user.note"] == "\udcff\0"


def test_what_is_within_a_folder() -> None:
    assert volumes.within("/a/b", "/a")
    assert not volumes.within("/ab", "/a")
    assert not volumes.within("/a", "/a")
