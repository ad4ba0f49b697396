"""What `moromi build` does: computed from declaration and observed state, each with its cause."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from nagoya.build.planner import (
    Observed,
    ObservedImage,
    describe_changes,
    image_parts,
    inputs_digest,
    parts_label,
    plan_build,
    read_parts_label,
    replaced_software,
)
from nagoya.build.steps import BuildGraph, BuildOptions, build_graph
from nagoya.config import loader
from nagoya.errors import DeclarationError, UsageError

TEXT = """
sources: {koji: {path: tree}}
base: {image: "debian:bookworm-slim", suite: bookworm}
images: {base: {}, hub: {}, data: {}, demo: {system: {commit: {koji: hub-demo}}}, on-demo: {}}
containers: {koji: {image: hub}}
"""
FILES = {
    "moromi.yml": TEXT,
    "tree/x": "",
    "base/Dockerfile": "FROM debian:bookworm-slim\nONBUILD COPY child.txt /\n",
    "hub/Dockerfile": "FROM base\nARG LEVEL=1\nCOPY src/koji /koji\nCOPY hub/a.py /\n",
    "data/Dockerfile": "FROM base\nFROM other:1\n",
    "on-demo/Dockerfile": "FROM hub-demo\n",
}
ROW = "src/koji"


@pytest.fixture
def graph(tree: Callable[..., Path]) -> BuildGraph:
    return build_graph(loader.read(tree(FILES) / "moromi.yml"))


def everything(graph: BuildGraph, options: BuildOptions | None = None) -> Observed:
    """The state after a build of everything."""
    names = {*graph.needs, "hub-demo"} - {ROW, "demo"}
    files = {n: {f"{n}/Dockerfile": "1" * 64} for n, step in graph.steps.items() if step.file}
    images, built = {}, {}
    for name in names:
        parts = {}
        if name in files:
            parents = {image: f"id-{image}" for image in graph.steps[name].images}
            parts = image_parts(graph.steps[name], files[name], parents, options or BuildOptions())
            built[name, inputs_digest(parts)] = f"id-{name}"
        images[name] = ObservedImage(f"id-{name}", {part: d[:8] for part, d in parts.items()})
    return Observed(images, built, {}, files, ["demo"])


def planned(
    graph: BuildGraph,
    observed: Observed,
    *wanted: str,
    options: BuildOptions | None = None,
) -> dict[str, str]:
    plan = plan_build(graph, wanted or list(graph.steps), observed, options or BuildOptions())
    return {
        name: f"{operation.action}: {operation.cause}"
        for name, operation in plan.items()
        if operation.action != "keep"
    }


def test_nothing_to_do(graph: BuildGraph) -> None:
    assert planned(graph, everything(graph)) == {}


def test_from_nothing(graph: BuildGraph) -> None:
    nothing = Observed({}, {}, {ROW: "not fetched yet"}, {})
    assert planned(graph, nothing, "hub") == {
        ROW: "fetch: not fetched yet",
        "debian:bookworm-slim": "pull: no such image here; made with mmdebstrap if no registry "
        "has it",
        "base": "build if changed: debian:bookworm-slim is pulled first",
        "hub": "build if changed: base may change",
    }


def test_the_order_is_one_in_which_it_can_be_done(graph: BuildGraph) -> None:
    plan = plan_build(graph, graph.steps, everything(graph), BuildOptions())
    names = list(plan)
    assert all(
        names.index(n) < names.index(operation.name)
        for operation in plan.values()
        for n in operation.needs
    )


def test_a_changed_file_is_the_cause_and_children_follow(graph: BuildGraph) -> None:
    observed = everything(graph)
    files = {**observed.files, "base": {"base/Dockerfile": "2" * 64, "util/new.py": "3" * 64}}
    assert planned(graph, replace(observed, files=files)) == {
        "base": "build: base/Dockerfile changed, util/new.py added",
        "hub": "build: base is rebuilt",
        "data": "build: base is rebuilt",
        "demo": "build: hub is rebuilt",
        "on-demo": "build: demo is rebuilt",
    }


def test_another_parent_and_another_argument_are_causes(graph: BuildGraph) -> None:
    observed = everything(graph)
    images = {**observed.images, "other:1": ObservedImage("another", {})}
    assert planned(graph, replace(observed, images=images)) == {
        "data": "build: FROM other:1 changed"
    }
    options = BuildOptions({"LEVEL": "2", "http_proxy": "x"})
    assert planned(graph, observed, "hub", options=options) == {"hub": "build: ARG LEVEL added"}


def test_what_was_built_before_gets_its_name_back(graph: BuildGraph) -> None:
    observed = everything(graph)
    images = {**observed.images}
    del images["base"]
    plan = plan_build(graph, ["hub", "demo"], replace(observed, images=images), BuildOptions())
    assert (plan["base"].action, plan["base"].image_id) == ("tag", "id-base")
    assert plan["hub"].action == "keep"
    images = {**observed.images, "hub": ObservedImage("newer", {})}
    assert planned(graph, replace(observed, images=images), "demo") == {
        "hub": "tag: built before from the same inputs",
        "demo": "build if changed: hub is tagged first",
    }


def test_the_base_reaches_the_dockerfiles_that_ask_for_it(tree: Callable[..., Path]) -> None:
    folder = tree({
        **FILES,
        "base/Dockerfile": "ARG MOROMI_BASE=debian:bookworm-slim\nFROM $MOROMI_BASE\n",
        "hub/Dockerfile": "FROM base\nARG MOROMI_SUITE\nCOPY src/koji /koji\n",
        "new.yml": "extends: moromi.yml\nbase: {image: 'debian:trixie-slim', suite: trixie}\n",
    })  # fmt: skip
    steps = build_graph(loader.read(folder / "new.yml")).steps
    assert steps["base"].images == ("debian:trixie-slim",)
    assert steps["base"].arguments == {"MOROMI_BASE": "debian:trixie-slim"}
    assert steps["hub"].arguments == {"MOROMI_SUITE": "trixie"}


def test_another_tag_gives_names_to_the_same_images(tree: Callable[..., Path]) -> None:
    argument = "ARG MOROMI_TAG=latest\nFROM base:$MOROMI_TAG\n"
    files = {
        **FILES,
        "hub/Dockerfile": f"{argument}COPY src/koji /koji\n",
        "data/Dockerfile": argument,
        "on-demo/Dockerfile": argument.replace("base", "hub-demo"),
        "new.yml": "extends: moromi.yml\ntag: new\nsources: {koji: {path: other}}\n",
        "other/x": "",
    }
    folder = tree(files)
    old, new = (build_graph(loader.read(folder / name)) for name in ("moromi.yml", "new.yml"))
    observed = everything(old)
    contexts = {f"{name}:new": parts for name, parts in observed.files.items()}
    contexts |= {"hub:new": {**contexts["hub:new"], "src/koji": "9" * 64}}
    assert planned(new, replace(observed, files=contexts), "hub:new", "data:new") == {
        "base:new": "tag: built before from the same inputs",
        "hub:new": "build: not built yet",
        "data:new": "tag: built before from the same inputs",
    }


def test_a_name_that_passes_to_other_software_is_a_notice(graph: BuildGraph) -> None:
    observed = everything(graph)
    images = {
        name: replace(image, software="pkg:pypi/koji@1.30.0")
        for name, image in observed.images.items()
    }
    moved = replace(observed, images=images, outdated={ROW: "why"})
    plan = plan_build(graph, ["hub", "data"], moved, BuildOptions())
    (notice,) = replaced_software(graph, plan, moved)
    assert notice.startswith("hub: built from pkg:pypi/koji@1.30.0 so far, now from pkg:")
    assert "`tag: NAME`" in notice
    other = plan_build(graph, ["hub", "data"], replace(moved, outdated={}), BuildOptions())
    assert list(replaced_software(graph, other, moved)) == []


def test_no_cache_is_for_the_named_images(graph: BuildGraph) -> None:
    options = BuildOptions(no_cache=True)
    assert planned(graph, everything(graph), "hub", options=options) == {"hub": "build: --no-cache"}


def test_a_fetched_source_may_change_what_copies_it(graph: BuildGraph) -> None:
    observed = replace(everything(graph), outdated={ROW: "why"})
    assert planned(graph, observed, "hub", "data") == {
        ROW: "fetch: why",
        "hub": "build if changed: src/koji is fetched first",
    }


def test_images_of_a_system(graph: BuildGraph) -> None:
    observed = replace(everything(graph), current=[])
    assert planned(graph, observed, "demo") == {"demo": "build: what it is made from changed"}
    images = {name: image for name, image in observed.images.items() if name != "hub-demo"}
    assert planned(graph, replace(observed, images=images), "demo") == {
        "demo": "build: not built yet"
    }


def test_an_image_of_an_older_moromi_and_unreadable_files(graph: BuildGraph) -> None:
    observed = everything(graph)
    images = {**observed.images, "base": ObservedImage("old", {})}
    old = replace(observed, images=images, built={})
    assert planned(graph, old, "base") == {"base": "build: not built by this version of moromi"}
    files = {name: parts for name, parts in observed.files.items() if name != "base"}
    unreadable = planned(graph, replace(observed, files=files), "base")
    assert unreadable == {"base": "build: its files cannot be read"}


def test_parts_survive_a_label() -> None:
    parts = {"hub/a file=$x'.py": "1" * 64, "FROM base": "2" * 64}
    assert read_parts_label(parts_label(parts)) == {part: d[:8] for part, d in parts.items()}


def test_many_changes_are_counted() -> None:
    after = {str(number): "1" * 64 for number in range(5)}
    assert describe_changes({"9": "2" * 8}, after) == "0 added, 1 added, 2 added and 3 more"


def test_onbuild_of_a_parent_is_copied_by_its_children(graph: BuildGraph) -> None:
    assert [copied.path for copied in graph.steps["hub"].onbuild] == ["child.txt"]
    assert graph.steps["base"].onbuild == ()


def test_the_database_is_not_rebuilt_where_kojis_code_changes(checkout: Path) -> None:
    steps = build_graph(loader.read(checkout / "moromi.yml")).steps
    assert steps["koji-database"].images == ("koji-base",)
    (schema,) = (c.path for c in steps["koji-database"].file.copied if c.path.startswith("src/"))
    assert schema == "src/koji/*/schema*.sql"


def test_a_wrong_name_or_argument_is_a_usage_error(graph: BuildGraph) -> None:
    declaration = graph.steps["hub"].declaration
    with pytest.raises(UsageError, match="no image 'hubb'; did you mean 'hub'") as caught:
        graph.select(declaration, ["hubb"])
    assert caught.value.exit_code == 64
    with pytest.raises(UsageError, match="no Dockerfile has an ARG 'LEVLE'; did you mean 'LEVEL'"):
        build_graph(declaration, {"LEVLE": "1"})
    assert graph.select(declaration, []) == {"base", "hub", "data", "on-demo"}
    assert graph.select(declaration, ["hub-demo"]) == {"demo"}


def test_all_dockerfiles_are_looked_at(tree: Callable[..., Path]) -> None:
    broken = {"hub/Dockerfile": "COPY a b\n", "data/Dockerfile": "FROM x y\n"}
    with pytest.raises(DeclarationError) as caught:
        build_graph(loader.read(tree({**FILES, **broken}) / "moromi.yml"))
    assert set(caught.value.problems) == {
        "images.hub: line 1: COPY comes before the first FROM",
        "images.data: line 1: FROM is not of the form FROM IMAGE [AS STAGE]",
    }


def test_a_circle_of_images_is_named(tree: Callable[..., Path]) -> None:
    circle = {"base/Dockerfile": "FROM hub\n"}
    with pytest.raises(DeclarationError, match="circular dependency: base => hub => base"):
        build_graph(loader.read(tree({**FILES, **circle}) / "moromi.yml"))
