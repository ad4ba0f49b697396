"""moromi build: order, what goes in parallel, failure, and the rebuild that finds nothing to do."""

import json
import re
import signal
import subprocess

import pytest
import yaml

from tests.moromi.conftest import BASE, PROGRAM, Moromi

PARENT = f"FROM {BASE}\nRUN echo made >/parent\n"


def test_children_are_built_after_their_parents(moromi: Moromi) -> None:
    moromi.declare(
        child="FROM X-middle\nRUN cat /parent /middle >/child\n",
        middle="FROM X-parent\nRUN cp /parent /middle\n",
        parent=PARENT,
    )
    moromi("build")
    assert (
        moromi.attributes("child")["RootFS"]["Layers"][:-1]
        == (moromi.attributes("middle")["RootFS"]["Layers"])
    )


def test_one_image_and_what_it_stands_on(moromi: Moromi) -> None:
    moromi.declare(parent=PARENT, child="FROM X-parent\n", other="FROM X-parent\n")
    moromi("build", "X-child")
    assert moromi.identity("parent")
    assert moromi.identity("child")
    assert not moromi.identity("other")


def test_what_does_not_need_each_other_goes_in_parallel(moromi: Moromi) -> None:
    sleep = f"FROM {BASE}\nRUN sleep 3 # {moromi.prefix}"
    moromi.declare(**{f"n{number}": f"{sleep}{number}\n" for number in range(3)})
    _, output = moromi("build")
    # Each has started before the first is done.
    assert output.rindex("  2/") < output.index("  built")


def test_run_builds_what_is_missing_and_starts_it(moromi: Moromi) -> None:
    moromi.declare(parent=PARENT, server="FROM X-parent\nCMD sleep 1000\n")
    declared = yaml.safe_load((moromi.folder / "moromi.yml").read_text())
    declared["containers"] = {
        "server": {"image": moromi.name("server"), "stop_timeout": 1},
    }
    (moromi.folder / "moromi.yml").write_text(yaml.safe_dump(declared))
    system = ("--system", moromi.prefix.rstrip("-"))
    try:
        assert "server  started" in re.sub(" +", "  ", moromi("run", *system)[1])
        # What is there is neither built nor started again.
        _, again = moromi("run", *system)
        assert "server  running" in re.sub(" +", "  ", again)
        assert "  1/" not in again
    finally:
        toji = [str(PROGRAM.with_name("toji")), *system, "remove"]
        subprocess.run(toji, cwd=moromi.folder, check=True)


def test_a_failure_is_reported_with_its_log_and_the_others_are_finished(moromi: Moromi) -> None:
    moromi.declare(
        parent=PARENT,
        broken="FROM X-parent\nRUN echo what is wrong && false\n",
        child="FROM X-broken\n",
        grandchild="FROM X-child\n",
        other="FROM X-parent\nRUN sleep 1\n",
    )
    _, err = moromi("build", status=6)
    report = err.partition("moromi: some images could not be built")[2]
    assert re.search(r"^  X-broken: .*returned a non-zero code: 1$", report, re.MULTILINE)
    assert "\n    what is wrong\n" in report
    assert "X-child: skipped because X-broken failed" in report
    assert "X-grandchild: skipped because X-broken failed" in report
    assert "X-other" not in report
    assert moromi.identity("other")
    assert not moromi.identity("broken")
    assert not moromi.identity("child")


def test_mended_it_is_built(moromi: Moromi) -> None:
    moromi.declare(broken=f"FROM {BASE}\nRUN false\n")
    moromi("build", status=6)
    moromi.declare(broken=f"FROM {BASE}\nRUN true\n")
    moromi("build")
    assert moromi.identity("broken")


def test_the_unchanged_is_left_alone(moromi: Moromi) -> None:
    moromi.declare(parent=PARENT, child="FROM X-parent\nCOPY child/file /\n")
    moromi.write("child/file", "one")
    moromi("build")
    before = moromi.identity("parent"), moromi.identity("child")
    _, err = moromi("build")
    assert (moromi.identity("parent"), moromi.identity("child")) == before
    assert len(re.findall(r"X-(?:parent|child) +unchanged", err)) == 2

    moromi.write("child/file", "two")
    moromi("build")
    assert moromi.identity("parent") == before[0]
    assert moromi.identity("child") != before[1]

    moromi.write("child/file", "one")
    moromi("build")
    assert moromi.identity("child") == before[1]


def test_a_parent_that_lost_its_name_gets_it_back(moromi: Moromi) -> None:
    moromi.declare(parent=PARENT, child="FROM X-parent\n")
    moromi("build")
    before = moromi.identity("parent"), moromi.identity("child")
    moromi.client.api.remove_image(moromi.name("parent"))
    moromi("build")
    assert (moromi.identity("parent"), moromi.identity("child")) == before


def test_no_cache_does_every_step_again(moromi: Moromi) -> None:
    moromi.declare(parent=PARENT, child="FROM X-parent\nRUN date +%N >/when\n")
    moromi("build")
    before = moromi.identity("parent"), moromi.attributes("child")["RootFS"]["Layers"]
    moromi("build", "X-child", "--no-cache")
    after = moromi.identity("parent"), moromi.attributes("child")["RootFS"]["Layers"]
    assert after[0] == before[0]
    assert after[1] != before[1]
    moromi("build")  # does not bring the older image of the same inputs back
    assert moromi.attributes("child")["RootFS"]["Layers"] == after[1]


def test_labels(moromi: Moromi) -> None:
    moromi.declare(parent=PARENT, child="FROM X-parent\n")
    moromi("build")
    labels = moromi.attributes("child")["Config"]["Labels"]
    assert labels["org.opencontainers.image.title"] == moromi.name("child")
    assert labels["nagoya.image"] == moromi.name("child")
    assert re.fullmatch(r"\d+\.\d+\.\d+", labels["org.opencontainers.image.version"])
    assert labels["org.opencontainers.image.source"].startswith("pkg:generic/nagoya@")
    created = labels["org.opencontainers.image.created"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", created)


def test_build_arguments(moromi: Moromi) -> None:
    moromi.declare(
        taking=f"FROM {BASE}\nARG LEVEL=1\nRUN echo level $LEVEL\n",
        other=f"FROM {BASE}\nRUN true\n",
    )
    moromi("build")
    before = moromi.identity("other")
    _, err = moromi("build", "-v", "--build-arg", "LEVEL=two")
    assert re.search(r"X-taking +level two$", err, re.MULTILINE)
    assert moromi.identity("other") == before
    _, err = moromi("build", "--build-arg", "LEVLE=2", status=64)
    assert "no Dockerfile has an ARG 'LEVLE'; did you mean 'LEVEL'?" in err
    assert "hint: they have LEVEL" in err


def test_an_unknown_image(moromi: Moromi) -> None:
    moromi.declare(parent=PARENT)
    _, err = moromi("build", "X-parnet", status=64)
    assert "declares no image 'X-parnet'; did you mean 'X-parent'?" in err
    assert "hint: it declares X-parent" in err


def test_a_file_that_is_not_there(moromi: Moromi) -> None:
    moromi.declare(one=f"FROM {BASE}\nCOPY src/koji /x\n", two=f"FROM {BASE}\n")
    _, err = moromi("build", status=6)
    assert "line 2: no such file or folder: src/koji" in err
    assert moromi.identity("two")


def test_nothing_is_built_without_its_sources(moromi: Moromi) -> None:
    moromi.declare(one=f"FROM {BASE}\nCOPY src/own/file /file\n", two=f"FROM {BASE}\n")
    with (moromi.folder / "moromi.yml").open("a") as file:
        file.write(
            f"sources: {{own: {{url: 'https://127.0.0.1:9/x.tar.gz', sha256: {'ab' * 32}}}}}\n"
        )
    _, err = moromi("build", status=6)
    assert "the sources are not complete, so nothing was built:\n  src/own: " in err
    assert "or use the Koji of `-c nagoya`" in err
    assert not moromi.identity("two")


def test_quiet_says_nothing(moromi: Moromi) -> None:
    moromi.declare(parent=PARENT)
    assert moromi("build", "-q") == ("", "")


def test_sources_are_fetched_first(moromi: Moromi) -> None:
    moromi.declare(one=f"FROM {BASE}\nCOPY src/own/file /file\nRUN grep text /file\n")
    with (moromi.folder / "moromi.yml").open("a") as file:
        file.write("sources: {own: {path: tree}}\n")
    moromi.write("tree/file", "text")
    moromi("build")
    source = moromi.attributes("one")["Config"]["Labels"]["org.opencontainers.image.source"]
    assert source == "pkg:generic/tree"


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_cut_off_it_leaves_nothing_broken(moromi: Moromi, how: signal.Signals) -> None:
    moromi.declare(parent=PARENT)
    moromi("build")
    before = moromi.identity("parent")
    moromi.declare(parent=f"{PARENT}RUN sleep 5 # {moromi.prefix}\nRUN echo end >/end\n")
    process = moromi.start("build")
    assert process.stderr
    while "RUN sleep" not in (line := process.stderr.readline()):
        assert line, "the build never came to its second step"
    process.send_signal(how)
    _, err = process.communicate(timeout=30)
    if how is signal.SIGINT:
        assert process.returncode == 130
        assert f"not built, so still the old images: {moromi.name('parent')}" in err
        assert "moromi: interrupted" in err
    assert moromi.identity("parent") == before
    moromi("build")
    assert moromi.identity("parent") != before


def test_the_plan_is_what_the_build_does(moromi: Moromi) -> None:
    moromi.declare(parent=PARENT, child="FROM X-parent\nCOPY child/file /\n")
    moromi.write("child/file", "one")
    out, _ = moromi("build", "--dry-run")
    assert re.search(r"^X-parent +build: not built yet$", out, re.MULTILINE)
    assert re.search(r"^X-child +build: X-parent is rebuilt$", out, re.MULTILINE)
    assert moromi.identity("parent") is None

    moromi("build")
    moromi.write("child/file", "two")
    out, _ = moromi("plan")
    assert re.search(r"^  X-parent +unchanged$", out, re.MULTILINE)
    assert re.search(r"^  X-child +build: child/file changed$", out, re.MULTILINE)

    operations = {
        operation["name"]: operation
        for operation in json.loads(moromi("plan", "--json")[0])["images"]
    }
    assert operations["X-parent"]["action"] == "keep"
    assert operations["X-child"]["action"] == "build"
    before = moromi.identity("parent"), moromi.identity("child")
    moromi("build")
    assert moromi.identity("parent") == before[0]
    assert moromi.identity("child") != before[1]
