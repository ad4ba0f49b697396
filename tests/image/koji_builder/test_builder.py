"""koji-builder with a hub: how it registers, stops and returns."""

import re
import ssl
import threading
import time
import xml.etree.ElementTree as ET
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import koji
import pytest
from docker.models.containers import Container

from tests.image.running import Hub, Koji
from tests.image.tracked import (
    Containers,
    execute,
    health,
    outcome,
    privileges,
    read_tree,
    wait_ready,
    wait_until,
)
from util import certificates

IMAGE = "koji-builder"


@pytest.fixture(scope="module")
def builder(running_koji: Koji, hub: Hub) -> Container:
    """A builder that no test stops."""
    container = running_koji.start_builder("builder")
    wait_ready(container)
    return container


def channels(session: Any, name: str) -> list[str]:
    return sorted(channel["name"] for channel in session.listChannels(session.getHost(name)["id"]))


def wait_for_log(container: Container, text: str) -> None:
    """Wait for a line of kojid, which need not be ready: without ignore_load, that depends on the
    machine's load."""
    wait_until(lambda: text in container.logs().decode(), 60, f"{text!r} is logged")


def wait_for_task(session: Any, task: int, seconds: float = 60) -> str:
    """Wait for a task to end, and return its state."""
    ends = {koji.TASK_STATES[name] for name in ("CLOSED", "CANCELED", "FAILED")}

    def ended() -> dict[str, Any] | None:
        info: dict[str, Any] = session.getTaskInfo(task)
        return info if info["state"] in ends else None

    info = wait_until(ended, seconds, f"task {task} ends")
    assert info is not None
    return str(koji.TASK_STATES[info["state"]])


def checks_in(hub: Hub, name: str) -> bool:
    """Whether a host checks in within a few seconds."""
    session = hub.session()
    host = session.getHost(name)["id"]
    before = session.getLastHostUpdate(host, ts=True)
    try:
        return wait_until(lambda: session.getLastHostUpdate(host, ts=True) != before, 4)
    except AssertionError:
        return False


# Registration


def test_is_a_host_as_the_hub_sees_it(hub: Hub, builder: Container) -> None:
    session = hub.session()
    host = session.getHost("builder")
    assert (host["enabled"], host["ready"], host["arches"]) == (True, True, "x86_64")
    assert channels(session, "builder") == ["createrepo", "default"]
    user = session.getUser("builder")
    assert user["usertype"] == koji.USERTYPES["HOST"]


def test_has_a_certificate_of_its_own(builder: Container, tmp_path: Path) -> None:
    for name, (member, content) in read_tree(builder, "/etc/pki/koji").items():
        if member.isdir():
            (tmp_path / name).mkdir(exist_ok=True)
        else:
            (tmp_path / name).write_bytes(content)
            (tmp_path / name).chmod(member.mode)
    certificates.check(tmp_path, "builder")
    assert (tmp_path / "private/builder.key").stat().st_mode & 0o777 == 0o600
    ssl.create_default_context().load_cert_chain(tmp_path / "builder.pem")


def test_keeps_no_log_that_grows(builder: Container) -> None:
    """The engine limits what kojid prints."""
    assert "kojid" in builder.logs().decode()
    assert (
        execute(builder, "find", "/var/log", "-name", "kojid*", "-size", "+0", "-type", "f")[1]
        == ""
    )


def test_a_builder_at_rest_logs_little(builder: Container) -> None:
    before = len(builder.logs().splitlines())
    time.sleep(10)
    assert len(builder.logs().splitlines()) - before < 10


def test_makes_a_repository_that_can_be_downloaded(hub: Hub, builder: Container) -> None:
    session = hub.login()
    session.createTag("repository", arches="x86_64")
    task = session.newRepo("repository")
    assert wait_for_task(session, task) == "CLOSED"
    # Not of `getRepo`: kojira soon expires the repository of a tag that no target builds in.
    repository, _ = session.getTaskResult(task)
    path = f"/kojifiles/repos/repository/{repository}/x86_64/repodata/repomd.xml"
    status, _, text = hub.browser().get(path)
    assert status == 200
    assert ET.fromstring(text).tag.endswith("repomd")


@pytest.mark.parametrize(
    "command",
    [
        ["python3", "-c", "import sys, urllib.request as r; r.urlopen(sys.argv[1])"],
        ["python3", "-c", "import sys, requests; requests.get(sys.argv[1]).raise_for_status()"],
        ["git", "ls-remote"],
    ],
)
def test_every_program_in_it_trusts_the_hub(builder: Container, command: list[str]) -> None:
    """Through the system's trust store. git finds no repository there, but asks for one."""
    status, output = execute(builder, *command, "https://koji/kojifiles/")
    assert status == 0 or "repository 'https://koji/kojifiles/' not found" in output, output


def test_kojid_has_all_that_its_tasks_call(builder: Container) -> None:
    for program in (
        "/usr/bin/createrepo_c --version",
        "/usr/bin/mergerepo_c --version",
        "git --version",
        "svn --version --quiet",
        "dnf --version",
        "rpmbuild --version",
        "patch --version",
        "id -u kojibuilder",
        "getent group mock",
    ):
        assert execute(builder, *program.split())[0] == 0, program
    # Unlike Debian's own.
    assert execute(builder, "rpm", "--eval", "%_dbpath")[1] == "/var/lib/rpm\n"


def test_is_what_the_environment_says_and_later_starts_correct_it(
    mortal_koji: Koji,
) -> None:
    hub = mortal_koji.hub_that_is_up()
    session = hub.login()
    environment = {
        "KOJI_BUILDER_NAME": "b.example.com",
        "KOJI_BUILDER_ARCHES": "i686 x86_64",
        "KOJI_BUILDER_CHANNELS": "maven",
        "KOJI_BUILDER_CAPACITY": "7.5",
    }
    container = mortal_koji.start_builder("other", environment=environment)
    wait_ready(container)
    host = session.getHost("b.example.com")
    assert (host["arches"], host["capacity"]) == ("i386 x86_64", 7.5)
    assert channels(session, "b.example.com") == ["maven"]

    session.editHost("b.example.com", arches="ppc64le", capacity=2.0)
    session.removeHostFromChannel("b.example.com", "maven")
    session.addHostToChannel("b.example.com", "livecd")
    session.disableHost("b.example.com")
    container.restart()
    wait_ready(container)
    host = session.getHost("b.example.com")
    assert (host["arches"], host["capacity"], host["enabled"]) == ("i386 x86_64", 7.5, True)
    assert channels(session, "b.example.com") == ["maven"]


def test_leaves_alone_what_the_environment_does_not_say(mortal_koji: Koji) -> None:
    hub = mortal_koji.hub_that_is_up()
    session = hub.login()
    container = mortal_koji.start_builder("kept")
    wait_ready(container)
    session.editHost("kept", arches="x86_64 i686", capacity=3.0)
    session.addHostToChannel("kept", "maven")
    container.restart()
    wait_ready(container)
    host = session.getHost("kept")
    assert (host["arches"], host["capacity"]) == ("x86_64 i686", 3.0)
    assert channels(session, "kept") == ["createrepo", "default", "maven"]


@pytest.mark.slow
def test_ten_at_once_all_register(mortal_koji: Koji) -> None:
    hub = mortal_koji.hub_that_is_up()
    started: list[Container] = []
    threads = [
        threading.Thread(target=lambda n=n: started.append(mortal_koji.start_builder(f"ten-{n}")))
        for n in range(10)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for container in started:
        wait_ready(container)
    session = hub.session()
    hosts = session.listHosts(enabled=True, ready=True)
    assert sorted(host["name"] for host in hosts) == [f"ten-{n}" for n in range(10)]
    for host in hosts:
        assert channels(session, host["name"]) == ["createrepo", "default"]


def test_a_name_that_a_user_has_is_refused(mortal_koji: Koji) -> None:
    hub = mortal_koji.hub_that_is_up()
    session = hub.login()
    session.createUser("somebody")
    status, log = outcome(mortal_koji.start_builder("somebody"))
    assert status == 1
    assert "the hub did not let somebody join: 'somebody' is the name of a user" in log
    assert session.getHost("somebody") is None


def test_channels_that_the_hub_lacks_are_added(mortal_koji: Koji) -> None:
    """By three builders at once."""
    hub = mortal_koji.hub_that_is_up()
    names = [f"channel-{n}" for n in range(3)]
    environment = {"KOJI_BUILDER_CHANNELS": "default runroot-of-a-test"}
    with ThreadPoolExecutor() as pool:
        start = partial(mortal_koji.start_builder, environment=environment)
        for container in list(pool.map(start, names)):
            wait_ready(container)
    session = hub.session()
    for name in names:
        assert channels(session, name) == ["default", "runroot-of-a-test"]


def test_tells_every_error_in_its_environment(containers: Containers) -> None:
    wrong = {
        "KOJI_BUILDER_NAME": "kojiadmin",
        "KOJI_BUILDER_CAPACITY": "much",
        "KOJI_BUILDER_SLEEPTIME": "0",
        "KOJI_BUILDER_MOCK": "/no/such",
        "KOJI_HUB_URL": "koji",
    }
    status, log = containers.finish(IMAGE, environment=wrong)
    assert status == 1
    assert all(f"{name}: " in log for name in wrong)
    assert "Traceback" not in log


def test_says_that_it_needs_the_folder_that_it_shares_with_the_hub(
    containers: Containers, mortal_koji: Koji
) -> None:
    status, log = containers.finish(IMAGE, **privileges("kojibuilder"))
    assert status == 1
    assert "--volume kojibuilders:/etc/pki/koji-builders" in log
    volumes = [f"{volume}:ro" for volume in mortal_koji.builders]
    status, log = outcome(mortal_koji.start_builder("read-only", volumes=volumes))
    assert status == 1
    assert "--volume kojibuilders:/etc/pki/koji-builders" in log


def test_refuses_to_see_the_keys_of_others(mortal_koji: Koji) -> None:
    volumes = [f"{mortal_koji.kojicreds.name}:rw", f"{mortal_koji.kojitop.name}:ro"]
    status, log = outcome(mortal_koji.start_builder("curious", volumes_from=volumes))
    assert status == 1
    assert "the credentials volume is mounted at /etc/pki/koji" in log


def test_says_what_it_needs_to_build_in(containers: Containers) -> None:
    status, log = containers.finish(IMAGE)
    assert status == 1
    assert "koji-builder: this container cannot build RPMs: " in log
    assert "--cap-add SYS_ADMIN" in log
    assert "KOJI_BUILDER_MOCK=none" in log.splitlines()[-1]


def test_without_mock_it_needs_no_privilege_and_makes_repositories(mortal_koji: Koji) -> None:
    hub = mortal_koji.hub_that_is_up()
    container = mortal_koji.start_builder(
        "modest", environment={"KOJI_BUILDER_MOCK": "none"}, cap_add=[], cap_drop=[]
    )
    wait_ready(container)
    session = hub.login()
    assert channels(session, "modest") == ["createrepo"]
    session.createTag("modest", arches="x86_64")
    assert wait_for_task(session, session.newRepo("modest")) == "CLOSED"


@pytest.mark.parametrize("plugins", ["", "save_failed_tree, fast_poll", "save_failed_tree"])
def test_has_the_plugins_that_the_environment_names(mortal_koji: Koji, plugins: str) -> None:
    mortal_koji.hub_that_is_up()
    environment = {"KOJI_BUILDER_PLUGINS": plugins}
    container = mortal_koji.start_builder("plugged", environment=environment)
    chosen = plugins.split(", ") if plugins else ["fast_poll", "ignore_load"]
    always = [
        "current_repo", "keep_alive", "kill_checkouts_first", "log_changes", "mock_ends_builds",
        "mock_logs", "poll_rate", "remove_aside", "retry_downloads", "send_only_xml",
    ]  # fmt: skip
    expected = [*always, *chosen]
    wait_for_log(container, f"Loading plugin: {expected[-1]}")
    logging = {*always, "fast_poll", "ignore_load"} - {"current_repo", "log_changes"}
    for plugin in logging.intersection(expected):
        wait_for_log(container, f"koji.{plugin}:")
    loaded = re.findall(r"Loading plugin: (\w+)", container.logs().decode())
    assert loaded == expected
    # Ours log that they found what they change in this kojid.
    log = container.logs().decode()
    assert ("koji.fast_poll" in log) == ("fast_poll" in loaded)
    assert ("koji.ignore_load" in log) == ("ignore_load" in loaded)
    assert not re.search(r"\[WARNING\].* koji\.(fast_poll|ignore_load)", log)


def test_gives_up_waiting_for_the_hub_with_a_clear_last_word(mortal_koji: Koji) -> None:
    container = mortal_koji.start_builder("alone", environment={"KOJI_WAIT_SECONDS": "1"})
    status, log = outcome(container)
    assert status == 1
    last, hint = log.splitlines()[-2:]
    assert last.startswith(
        "koji-builder: gave up waiting for the hub at https://koji/kojihub after 1 s: "
    )
    assert "start koji-hub on the same network" in hint


def test_does_not_talk_to_a_hub_of_another_authority(
    mortal_koji: Koji, containers: Containers
) -> None:
    mortal_koji.hub_that_is_up()
    others = containers.start("koji-credentials-volume")
    assert outcome(others)[0] == 0
    folder = "/etc/pki/koji-builders"
    write = f'mkdir -p {folder} && printf "%s" "$AUTHORITY" > {folder}/koji_ca_cert.crt'
    authority = read_tree(others, "/etc/pki/koji")["koji_ca_cert.crt"][1].decode()
    container = mortal_koji.start_builder(
        "stranger",
        *("sh", "-c", f"{write} && exec python3 /usr/lib/nagoya/entrypoint.py"),
        volumes=[],
        environment={"KOJI_WAIT_SECONDS": "1", "AUTHORITY": authority},
    )
    status, log = outcome(container)
    assert status == 1
    assert "certificate verify failed" in log


def test_a_site_adds_to_its_configuration(mortal_koji: Koji) -> None:
    mortal_koji.hub_that_is_up()
    text = "[kojid]\nvendor = Our own\nplugins = save_failed_tree\nsleeptime = 2\n"
    # Written by the container itself, since the engine may run on another machine.
    container = mortal_koji.start_builder(
        "site",
        "sh",
        "-c",
        'printf "%s" "$TEXT" > /etc/kojid/kojid.conf.d/site.conf'
        " && exec python3 /usr/lib/nagoya/entrypoint.py",
        environment={"TEXT": text},
    )
    wait_for_log(container, "Loading plugin: save_failed_tree")
    configuration = execute(container, "cat", "/etc/kojid/kojid.conf")[1]
    assert "vendor = Our own" in configuration
    assert "sleeptime = 2" in configuration
    assert b"Loading plugin: save_failed_tree" in container.logs()


# Stopping and returning


@pytest.mark.parametrize("number", ["SIGTERM", "SIGINT"])
def test_disables_itself_when_it_is_stopped(mortal_koji: Koji, number: str) -> None:
    hub = mortal_koji.hub_that_is_up()
    container = mortal_koji.start_builder("leaving", stop_signal=number)
    wait_ready(container)
    # The status would be 137 if the engine had to kill it.
    container.stop()
    status, log = outcome(container)
    assert status == 0, log
    host = hub.session().getHost("leaving")
    assert (host["enabled"], host["ready"]) == (False, False)
    container.start()
    wait_ready(container)
    assert hub.session().getHost("leaving")["enabled"]


def test_does_not_hang_when_the_hub_is_away(mortal_koji: Koji) -> None:
    hub = mortal_koji.hub_that_is_up()
    container = mortal_koji.start_builder("orphan")
    wait_ready(container)
    # It does not answer, but connections stay open.
    hub.container.pause()
    try:
        container.stop()
    finally:
        hub.container.unpause()
    # It ended before the engine would have killed it.
    assert b"koji-builder: kojid ended" in container.logs()
    container.start()
    wait_ready(container)


def test_comes_back_after_it_was_killed(mortal_koji: Koji) -> None:
    hub = mortal_koji.hub_that_is_up()
    container = mortal_koji.start_builder("phoenix")
    wait_ready(container)
    container.kill("SIGKILL")
    assert outcome(container)[0] == 137
    # The hub has not noticed; the restarted builder must not count as healthy because of that.
    assert hub.session().getHost("phoenix")["enabled"]
    container.start()
    wait_ready(container)
    assert checks_in(hub, "phoenix")


def test_ends_with_kojids_status(mortal_koji: Koji) -> None:
    mortal_koji.hub_that_is_up()
    container = mortal_koji.start_builder("broken")
    wait_ready(container)
    find = "for p in /proc/[0-9]*; do grep -q sbin/kojid $p/cmdline && echo ${p#/proc/}; done"
    execute(container, "sh", "-c", f"kill -KILL $({find} | head -1)")
    status, log = outcome(container)
    assert status == 137
    assert "koji-builder: kojid ended (SIGKILL)" in log


def test_survives_a_hub_that_is_started_again(mortal_koji: Koji) -> None:
    hub = mortal_koji.hub_that_is_up()
    container = mortal_koji.start_builder("patient")
    wait_ready(container)
    hub.container.restart()
    wait_ready(hub.container)
    wait_until(lambda: checks_in(hub, "patient"), 30)
    assert health(container)[0]


def test_hands_back_its_task_when_it_is_stopped(mortal_koji: Koji) -> None:
    """The task waits for a repository that is never made."""
    hub = mortal_koji.hub_that_is_up()
    session = hub.login()
    session.createTag("never", arches="x86_64")
    session.createBuildTarget("never", "never", "never")
    container = mortal_koji.start_builder("busy", environment={"KOJI_BUILDER_CHANNELS": "default"})
    wait_ready(container)
    task = session.makeTask("waitrepo", ["never"])
    opened = koji.TASK_STATES["OPEN"]
    wait_until(lambda: session.getTaskInfo(task)["state"] == opened, 20, "the task is taken")
    container.stop()
    log = outcome(container)[1]
    assert "koji-builder: kojid ended" in log
    info = session.getTaskInfo(task)
    assert (info["state"], info["host_id"]) == (koji.TASK_STATES["FREE"], None), log
