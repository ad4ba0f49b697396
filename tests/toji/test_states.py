"""snapshot and reset: the order in which containers are asked, and what is done when
one of them cannot. What is asked is a shell script here, that notes each verb."""

import json
import signal
from collections.abc import Iterator
from typing import Any

import docker
import pytest
import yaml

from nagoya.engine import connect
from tests.image.tracked import execute, wait_until
from tests.toji.conftest import IMAGE as TINY
from tests.toji.conftest import TOKEN, Toji, own_system

IMAGE = f"nagoya-test-keeper-{TOKEN}"
# A state of one file. What is in /data/fails is refused, what is in /data/slow takes its time.
SCRIPT = """\
cd /data
answer() {
    echo "$(date +%s%N) $*" >>/data/asked
    [ "$(cat slow 2>/dev/null)" != "$1" ] || sleep 8
    if [ "$(cat fails 2>/dev/null)" = "$1" ]; then
        echo '{"refused": "no room for it", "hint": "make room"}'; return
    fi
    [ "$(cat babbles 2>/dev/null)" != "$1" ] || { echo "well, $1"; return; }
    [ "$(cat dies 2>/dev/null)" != "$1" ] || { echo "out of order" >&2; exit 3; }
    case $1 in
        list)
            printf '{"answer": {'; comma=
            for file in kept-*; do
                [ ! -e "$file" ] || printf '%s"%s": {"created": 1.5, "bytes": 500000}' \
                    "$comma" "${file#kept-}"
                comma=', '
            done
            echo '}}'; return ;;
        save) cp state "kept-$2" ;;
        drop) rm -f "kept-$2" ;;
        prepare)
            [ -e "kept-$2" ] || { echo '{"refused": "there is none", "hint": null}'; return; }
            cp "kept-$2" new ;;
        switch)
            mv new state
            [ ! -e restarts ] || { echo '{"answer": {"restart": true}}'; return; } ;;
        release) rm -f new ;;
    esac
    echo '{"answer": {}}'
}
while read -r verb name; do answer $verb $name; done
"""
VERBS = "list hold renew save prepare switch release drop"
KEEPER = f"""
FROM {TINY}
COPY keeper /keeper
LABEL nagoya.snapshot='["sh", "/keeper"]' nagoya.snapshot.verbs="{VERBS}"
CMD echo born >/data/state; touch /ready; trap 'exit 0' TERM; while :; do sleep 0.1; done
"""


@pytest.fixture(scope="module", autouse=True)
def keeper(
    client: docker.DockerClient, tiny: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """An image with a state that can be kept."""
    folder = tmp_path_factory.mktemp("keeper")
    (folder / "Dockerfile").write_text(KEEPER)
    (folder / "keeper").write_text(SCRIPT)
    client.images.build(path=str(folder), tag=IMAGE, rm=True)
    yield IMAGE
    client.images.remove(IMAGE, force=True)


def declare(toji: Toji, **containers: dict[str, Any]) -> None:
    """Write moromi.yml, with the image that has a state in it."""
    toji.declare(**containers)
    path = toji.folder / "moromi.yml"
    raw = yaml.safe_load(path.read_text())
    raw["images"][IMAGE] = {"folder": TINY}
    path.write_text(yaml.safe_dump(raw))


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Toji]:
    """Two containers with a state, and one without; ready for the first time."""
    with own_system(tmp_path_factory.mktemp("pair")) as toji:
        keeper = {"image": IMAGE}
        declare(toji, first=keeper, second={**keeper, "links": ["first"]}, other={})
        toji("init")
        toji("wait")
        yield toji


@pytest.fixture
def pair(system: Toji) -> Toji:
    """The same as each test finds it: with its first state, and no other snapshot."""
    for name in ("first", "second"):
        run(
            system,
            name,
            "cd /data; rm -f fails babbles dies slow restarts kept-later; echo born >state",
        )
    return system


def run(toji: Toji, name: str, script: str) -> str:
    container = connect().client.containers.get(f"{toji.system}-{name}")
    return execute(container, "sh", "-c", script)[1].strip()


def take_verbs(toji: Toji) -> list[str]:
    """The verbs that both were asked since the last time, in order, each twice."""
    script = "cat /data/asked; rm /data/asked"
    lines = [line for name in ("first", "second") for line in run(toji, name, script).splitlines()]
    return [line.split(" ", 1)[1] for line in sorted(lines)]


def double(*verbs: str) -> list[str]:
    return [verb for verb in verbs for _ in range(2)]


def names(toji: Toji) -> list[str]:
    answer = json.loads(toji("snapshot", "list", "--json").stdout)
    return [snapshot["name"] for snapshot in answer["snapshots"]]


def test_the_first_wait_keeps_the_state_and_later_ones_do_not(system: Toji) -> None:
    assert take_verbs(system) == double("list", "hold", "save pristine", "release")
    system("wait")
    assert take_verbs(system) == double("list")
    assert names(system) == ["pristine"]
    assert "1 MB" in system("snapshot", "list").stdout


def test_reset_goes_back_and_url_and_containers_stay(
    pair: Toji, client: docker.DockerClient
) -> None:
    before = client.containers.get(f"{pair.system}-first").attrs["State"]["StartedAt"]
    for name in ("first", "second"):
        run(pair, name, "echo changed >/data/state")
    take_verbs(pair)
    pair("reset")
    assert take_verbs(pair) == double("list", "hold", "prepare pristine", "switch", "release")
    assert [run(pair, name, "cat /data/state") for name in ("first", "second")] == ["born"] * 2
    assert client.containers.get(f"{pair.system}-first").attrs["State"]["StartedAt"] == before


def test_snapshots_have_names(pair: Toji) -> None:
    run(pair, "first", "echo later >/data/state")
    pair("snapshot", "create", "later")
    pair("reset")
    assert run(pair, "first", "cat /data/state") == "born"
    pair("reset", "later")
    assert run(pair, "first", "cat /data/state") == "later"
    assert set(names(pair)) == {"pristine", "later"}
    error = pair("snapshot", "create", "later", status=7).stderr
    assert "already has a snapshot called 'later'" in error
    pair("snapshot", "delete", "later")
    assert names(pair) == ["pristine"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["reset", "typo"], "has no snapshot called 'typo'\n  hint: it has pristine"),
        (["snapshot", "delete", "typo"], "has no snapshot called 'typo'\n  hint: it has pristine"),
        (["snapshot", "delete", "pristine"], "'pristine' is the snapshot of the first `toji wait`"),
        (["snapshot", "create", "pristine"], "'pristine' is the snapshot of the first `toji wait`"),
        (["snapshot", "create", "No_Way"], "'No_Way' cannot name a snapshot"),
    ],
)
def test_a_wrong_name_is_reported(pair: Toji, words: list[str], message: str) -> None:
    take_verbs(pair)
    status = 64 if "cannot name" in message else 7
    assert message in pair(*words, status=status).stderr
    assert run(pair, "first", "cat /data/state; ls /data/new 2>/dev/null || true") == "born"
    assert "hold" not in run(pair, "first", "cat /data/asked || true")


def test_a_snapshot_that_fails_leaves_nothing_and_lets_go(pair: Toji) -> None:
    run(pair, "second", "echo save >/data/fails")
    take_verbs(pair)
    error = pair("snapshot", "create", "later", status=7).stderr
    assert "second: no room for it\n  hint: make room" in error
    assert take_verbs(pair) == double("list", "hold", "save later", "drop later", "release")
    assert names(pair) == ["pristine"]


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("babbles", "the answer to 'prepare pristine' is not valid: well, prepare"),
        ("dies", "sh has ended: out of order"),
    ],
)
def test_an_image_that_does_not_answer_as_it_should_is_reported(
    pair: Toji, how: str, message: str
) -> None:
    run(pair, "second", f"echo prepare >/data/{how}")
    take_verbs(pair)
    assert message in pair("reset", status=7).stderr
    assert take_verbs(pair) == double("list", "hold", "prepare pristine", "release")
    assert run(pair, "second", "cat /data/state") == "born"


def test_a_wait_ends_well_whatever_becomes_of_the_state(pair: Toji) -> None:
    run(pair, "first", "echo list >/data/dies")
    output = pair("wait").stderr
    assert "the snapshot 'pristine' was not made" in output
    assert "first: running sh in" in output
    assert "sh has ended: out of order" in output


def test_a_container_that_is_paused_half_way_is_reported(
    pair: Toji, client: docker.DockerClient
) -> None:
    run(pair, "second", "echo prepare >/data/slow")
    take_verbs(pair)
    container = client.containers.get(f"{pair.system}-second")
    process = pair.start("reset")
    wait_until(lambda: "prepare" in run(pair, "second", "cat /data/asked || true"), what="asked")
    container.pause()
    try:
        _, error = process.communicate(timeout=60)
    finally:
        container.unpause()
    assert process.returncode == 7
    assert "second: " in error
    assert "paused" in error
    assert run(pair, "first", "tail -n 1 /data/asked").endswith(" release")
    pair("reset")


def test_nobody_waits_for_more_questions_afterwards(pair: Toji) -> None:
    pair("reset")
    waiting = "cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' '\\n' | grep -cx /keeper"
    wait_until(lambda: run(pair, "second", waiting) == "0", what="the end of what answered")


def test_a_first_wait_that_cannot_keep_the_state_says_so_and_is_well(toji: Toji) -> None:
    script = "echo save >/data/fails; touch /ready; sleep 100"
    command = ["sh", "-c", script]
    declare(toji, only={"image": IMAGE, "command": command, "stop_timeout": 1})
    toji("init")
    assert "so `toji reset` will not work" in toji("wait").stderr


@pytest.mark.parametrize("verb", ["prepare", "hold", "switch"])
def test_a_reset_that_fails_lets_go(pair: Toji, verb: str) -> None:
    run(pair, "first", "echo changed >/data/state")
    run(pair, "second", f"echo {verb} >/data/fails")
    take_verbs(pair)
    error = pair("reset", status=7).stderr
    assert "second: no room for it" in error
    assert ("some containers were switched and others were not" in error) == (verb == "switch")
    # Whoever was never held is none to let go.
    assert take_verbs(pair).count("release") == (1 if verb == "hold" else 2)
    if verb != "switch":
        assert run(pair, "first", "cat /data/state") == "changed"
    run(pair, "second", "rm /data/fails")
    pair("reset")
    assert run(pair, "first", "cat /data/state") == "born"


def test_who_asks_for_it_is_started_anew(pair: Toji, client: docker.DockerClient) -> None:
    run(pair, "second", "touch /data/restarts")
    before = {
        name: client.containers.get(f"{pair.system}-{name}").attrs["State"]["StartedAt"]
        for name in ("first", "second")
    }
    pair("reset")
    now = {
        name: client.containers.get(f"{pair.system}-{name}").attrs["State"]["StartedAt"]
        for name in ("first", "second")
    }
    assert now["first"] == before["first"]
    assert now["second"] != before["second"]


def test_what_is_stopped_is_started_for_a_reset_and_asked_for_before_a_snapshot(pair: Toji) -> None:
    pair("stop")
    error = pair("snapshot", "create", "later", status=7).stderr
    assert "not running: first (exited), second (exited)" in error
    assert f"toji --system {pair.system} up" in error
    pair("reset")
    assert set(pair.states().values()) == {"running"}


def test_a_system_without_state_says_so(toji: Toji) -> None:
    toji.declare(server={})
    toji("init")
    toji("wait")
    error = toji("snapshot", "create", "later", status=7).stderr
    assert "can save its state" in error
    assert f"`toji --system {toji.system} up --recreate kojidatabase`" in error


def test_a_lost_container_is_named(toji: Toji) -> None:
    """Not even what is left of the state is saved, as if it were all."""
    declare(toji, first={"image": IMAGE}, second={"image": IMAGE}, other={})
    toji("init")
    toji("wait")
    for name in ("other", "second"):
        toji("snapshot", "create", f"before-{name}")
        connect().client.containers.get(f"{toji.system}-{name}").remove(force=True)
    for words in (["snapshot", "create", "later"], ["reset"], ["snapshot", "list"]):
        error = toji(*words, status=7).stderr
        assert f"'{toji.system}' has lost its container second, and what was in it" in error
        assert f"toji --system {toji.system} up" in error


def test_two_resets_at_once_come_one_after_the_other(pair: Toji) -> None:
    take_verbs(pair)
    run(pair, "first", "echo prepare >/data/slow")
    ended = [
        process.communicate(timeout=60) for process in [pair.start("reset"), pair.start("reset")]
    ]
    run(pair, "first", "rm /data/slow")
    assert any("another toji is at work" in answer for _, answer in ended)
    assert take_verbs(pair) == double("list", "hold", "prepare pristine", "switch", "release") * 2


def test_a_reset_that_takes_too_long_can_have_more_time(pair: Toji) -> None:
    run(pair, "second", "echo prepare >/data/slow")
    error = pair("reset", "--timeout", "1", status=7).stderr
    assert "did not answer within" in error
    assert error.endswith("hint: --timeout SECONDS allows it longer\n")


def test_a_reset_of_what_is_not_ready_says_that_it_was_restored(pair: Toji) -> None:
    run(pair, "first", "rm /ready")
    try:
        error = pair("reset", "--timeout", "20", status=8).stderr
    finally:
        run(pair, "first", "touch /ready")
    assert "'pristine' was restored, but the wait failed: not ready after" in error
    assert f"hint: `toji --system {pair.system} wait` waits longer" in error


def test_ctrl_c_lets_go(pair: Toji) -> None:
    run(pair, "second", "echo switch >/data/slow")
    take_verbs(pair)
    process = pair.start("reset")
    wait_until(
        lambda: "switch" in run(pair, "second", "cat /data/asked || true"), 30, "it goes back"
    )
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in error
    assert take_verbs(pair)[-1] == "release"


def test_a_container_that_is_killed_half_way_is_reported_and_nothing_is_lost(
    pair: Toji, client: docker.DockerClient
) -> None:
    run(pair, "second", "echo save >/data/slow")
    take_verbs(pair)
    process = pair.start("snapshot", "create", "later")
    wait_until(lambda: "save" in run(pair, "second", "cat /data/asked || true"), 30, "it keeps")
    client.containers.get(f"{pair.system}-second").kill()
    _, error = process.communicate(timeout=60)
    assert process.returncode == 7
    assert "second" in error
    assert "Traceback" not in error
    pair("start")
    pair("wait")
    run(pair, "second", "rm /data/slow")
    assert names(pair) == ["pristine"]
    pair("reset")
    assert run(pair, "first", "cat /data/state") == "born"
