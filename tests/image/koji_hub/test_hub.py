"""koji-hub by itself: who gets in, what it serves, how it starts and ends."""

import hashlib
import json
import re
import subprocess
from pathlib import Path
from typing import Any
from xmlrpc.client import Fault

import koji
import pytest
import requests

from tests.image.running import Hub, Koji
from tests.image.tracked import (
    Containers,
    execute,
    health,
    outcome,
    read_tree,
    wait_ready,
    wait_until,
)
from util import certificates

IMAGE = "koji-hub"
WEB_CONF = "/dev/shm/koji-hub/web.conf"


def processes(hub: Hub) -> dict[str, list[int]]:
    """The process ids of what runs in the container, by a word of the command line."""
    script = "for p in /proc/[0-9]*; do tr '\\0' ' ' < $p/cmdline; echo $p; done"
    listing = execute(hub.container, "sh", "-c", script)[1]
    words = ("apache2", "/usr/sbin/kojira", "/nagoya/kojira.py", "entrypoint.py")
    pids: dict[str, list[int]] = {word: [] for word in words}
    for line in listing.splitlines():
        command, _, process = line.rpartition("/proc/")
        for word, ids in pids.items():
            if word in command and "for p in" not in command:
                ids.append(int(process))
    return {word: sorted(ids) for word, ids in pids.items()}


def wait_for_kojira(hub: Hub) -> int:
    """Wait until kojira runs; its process id."""
    return wait_until(lambda: processes(hub)["/usr/sbin/kojira"], 30, "kojira runs")[0]


def task_of_kojiras(hub: Hub) -> dict[str, Any]:
    """Make a tag that needs a repository, and wait until kojira asks for it.

    The task stays as it is, since no builder is here.
    """
    session = hub.login()
    # From 1.35 on kojira watches those tags only that have this extra.
    session.createTag("build", arches="x86_64", extra={"repo.auto": True})
    session.createTag("dest")
    session.createBuildTarget("target", "build", "dest")
    query = {"method": "newRepo", "decode": True}
    task: dict[str, Any] = wait_until(lambda: session.listTasks(query), 30, "kojira asks")[0]
    return task


# Who gets in


def test_says_hello_to_kojiadmin(hub: Hub) -> None:
    session = hub.login()
    assert session.getLoggedInUser()["name"] == "kojiadmin"
    assert session.hasPerm("admin")
    assert session.getAPIVersion() == 1


def test_reads_are_for_everybody_and_changes_are_not(hub: Hub) -> None:
    session = hub.session()
    assert [volume["name"] for volume in session.listVolumes()] == ["DEFAULT"]
    with pytest.raises(koji.ActionNotAllowed):
        session.createTag("no-login")


def test_a_login_needs_a_certificate(hub: Hub) -> None:
    with pytest.raises(koji.AuthError, match="could not verify client: NONE"):
        hub.session().sslLogin()


def test_the_client_refuses_another_authority(hub: Hub, tmp_path: Path) -> None:
    certificates.Authority.create(tmp_path)
    session = hub.session(serverca=str(tmp_path / "koji_ca_cert.crt"))
    with pytest.raises(requests.exceptions.SSLError):
        session.getAPIVersion()


def test_the_hub_refuses_another_authority(hub: Hub, tmp_path: Path) -> None:
    certificates.Authority.create(tmp_path).issue("kojiadmin", client=True)
    with pytest.raises(koji.AuthError):
        hub.session().ssl_login(str(tmp_path / "kojiadmin.pem"), None, str(hub.authority))


def test_a_user_who_is_not_known_is_refused_and_not_made(hub: Hub) -> None:
    with pytest.raises(koji.AuthError, match="Unknown user: kojihub"):
        hub.login("kojihub")
    assert hub.session().getUser("kojihub") is None


def test_only_kojiweb_logs_in_for_others(hub: Hub) -> None:
    def login(user: str) -> None:
        pem = str(hub.credentials / f"{user}.pem")
        hub.session().ssl_login(pem, None, str(hub.authority), proxyuser="kojira")

    login("kojiweb")
    with pytest.raises(koji.AuthError, match="is not authorized to login other users"):
        login("kojiadmin")


@pytest.mark.parametrize("version", ["1", "1_1"])
def test_old_tls_is_not_spoken(hub: Hub, version: str) -> None:
    place = hub.url("").removeprefix("https://")
    command = [
        "openssl",
        "s_client",
        "-connect",
        place,
        f"-tls{version}",
        "-cipher",
        "ALL@SECLEVEL=0",
    ]
    ended = subprocess.run(command, input=b"", capture_output=True, check=False)
    assert ended.returncode == 1


# What it serves


def test_lists_its_calls_with_their_arguments(hub: Hub) -> None:
    calls = {call["name"]: call["argdesc"] for call in hub.session()._listapi()}
    assert calls["getTag"] == "(tagInfo, strict=False, event=None, blocked=False)"
    assert len(calls) > 250
    assert hub.session().system.methodHelp("getAPIVersion").startswith("getAPIVersion()")


@pytest.mark.parametrize(
    ("path", "lands", "shows"),
    [
        ("/", "/koji/", "Recent Builds"),
        ("/koji", "/koji/", "Recent Builds"),
        ("/koji/", "/koji/", "Recent Builds"),
        ("/koji-static/koji.css", "/koji-static/koji.css", "#headerSearch"),
        ("/kojifiles", "/kojifiles/", "packages/"),
        ("/kojifiles/repos/", "/kojifiles/repos/", "Parent Directory"),
    ],
)
def test_serves(hub: Hub, path: str, lands: str, shows: str) -> None:
    status, url, text = hub.browser().get(path)
    assert (status, url) == (200, hub.url(lands))
    assert shows in text


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/nothing", 404),
        ("/koji/nothing", 404),
        ("/kojifiles/nothing", 404),
        # Resolved to /etc/passwd, and to above the root; neither leads to a file of ours.
        ("/kojifiles/../etc/passwd", 404),
        ("/kojifiles/../../etc/passwd", 400),
        ("/kojihub", 405),
    ],
)
def test_does_not_serve(hub: Hub, path: str, expected: int) -> None:
    assert hub.browser().get(path)[0] == expected


def test_plain_http_is_redirected(hub: Hub) -> None:
    for path in (
        "/koji/tasks?state=all",
        "/kojihub",
        "/",
        "/koji/a%20b%25?c=%2F&d",
        "/koji/%E2%82%AC",
        "/kojifiles/",
    ):
        answer = requests.get(hub.url(path, "http"), allow_redirects=False, timeout=10)
        assert (answer.status_code, answer.headers["location"]) == (302, f"https://127.0.0.1{path}")


def test_kojiweb_knows_its_user_by_the_certificate(hub: Hub) -> None:
    assert hub.browser("kojiadmin").get("/koji/login")[:2] == (200, hub.url("/koji/index"))
    browser = hub.browser("kojiadmin")
    browser.get("/koji/login")
    assert "kojiadmin" in browser.get("/koji/hosts")[2]
    assert "kojiadmin" not in hub.browser().get("/koji/hosts")[2]
    status, _, text = hub.browser().get("/koji/login")
    assert status == 403
    assert "kojiadmin_browser_cert.p12" in text
    assert "an error has occurred" not in text.lower()


# How it runs


def test_who_runs_as_what(hub: Hub) -> None:
    wait_for_kojira(hub)
    ids = processes(hub)
    assert ids["entrypoint.py"] == [1]
    for word, user in {"/usr/sbin/kojira": "www-data", "apache2": "www-data"}.items():
        # Of Apache, only the one that listens is root's, as it has to be.
        last = ids[word][-1]
        assert execute(hub.container, "stat", "-c", "%U", f"/proc/{last}") == (0, f"{user}\n")


def test_no_secret_where_others_can_read_or_a_commit_would_keep_it(hub: Hub) -> None:
    """Not in the environment, nor in an argument, nor in a log, nor in the container's layer."""
    key = read_tree(hub.container, "/etc/pki/koji/private")["kojiweb.key"][1].decode()
    cookies = re.search("^secret = (.*)$", execute(hub.container, "cat", WEB_CONF)[1], re.MULTILINE)
    assert cookies
    session = hub.login()
    secrets = [key.splitlines()[1], cookies[1], session.sinfo["session-key"]]
    session.createTag("for-the-log")
    with pytest.raises(koji.GenericError):
        session.createTag("for-the-log")

    hub.container.reload()
    record = json.dumps(hub.container.attrs) + hub.container.logs().decode()
    record += execute(hub.container, "sh", "-c", "cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ")[1]
    assert not [secret for secret in secrets if secret in record]
    search = ["grep", "-rlF", "--exclude-dir=pki"]
    search += [word for secret in secrets for word in ("-e", secret)]
    search += ["/etc", "/root", "/run", "/tmp", "/usr/lib", "/var"]
    assert execute(hub.container, *search) == (1, "")


def test_keeps_its_data_and_its_users_over_a_restart(mortal_koji: Koji) -> None:
    hub = mortal_koji.hub_that_is_up()
    browser = hub.browser("kojiadmin")
    browser.get("/koji/login")
    hub.login().createTag("kept")
    hub.container.restart()
    wait_ready(hub.container)
    assert hub.session().getTag("kept")["name"] == "kept"
    # The cookie was signed before.
    assert "kojiadmin" in browser.get("/koji/tags")[2]


@pytest.mark.parametrize("number", ["SIGTERM", "SIGINT"])
def test_stops_well(mortal_koji: Koji, number: str) -> None:
    mortal_koji.start_database()
    hub = Hub(mortal_koji.start_hub(stop_signal=number), mortal_koji.credentials)
    wait_for_kojira(hub)
    # 137, were it to come to the engine's kill.
    hub.container.stop(timeout=5)
    status, log = outcome(hub.container)
    assert status == 0, log
    assert "killing" not in log


def test_a_graceful_restart_leaves_a_hub_that_works(mortal_koji: Koji) -> None:
    hub = mortal_koji.hub_that_is_up()
    for _ in range(2):
        before = set(processes(hub)["apache2"][1:])
        hub.container.kill("SIGUSR1")
        wait_until(lambda before=before: not before & set(processes(hub)["apache2"]), 30)  # type: ignore[misc]
        # All that Koji imports was imported again, in new processes of a new Python.
        wait_ready(hub.container)
        session = hub.login()
        assert len(session.system.listMethods()) > 100
        assert session.getLoggedInUser()["name"] == "kojiadmin"
        assert "kojiadmin" in hub.browser("kojiadmin").get("/koji/login")[2]
    assert "Traceback" not in hub.container.logs().decode()


def test_ends_with_apaches_status(mortal_koji: Koji) -> None:
    hub = mortal_koji.hub_that_is_up()
    execute(hub.container, "sh", "-c", f"kill -KILL {processes(hub)['apache2'][0]}")
    status, log = outcome(hub.container)
    assert status == 137
    assert "koji-hub: httpd ended (SIGKILL)" in log


def test_kojira_comes_back(mortal_koji: Koji) -> None:
    hub = mortal_koji.hub_that_is_up()
    first = wait_for_kojira(hub)
    execute(hub.container, "sh", "-c", f"kill -KILL {first}")
    wait_until(lambda: processes(hub)["/usr/sbin/kojira"] not in ([], [first]), 30)
    # The first one's session was locked, and its successor has taken it over.
    expected = "koji-hub: kojira ended (SIGKILL); restarting it in 1 s"
    assert expected in hub.container.logs().decode()
    assert task_of_kojiras(hub)["state"] == koji.TASK_STATES["FREE"]
    assert health(hub.container)[0]


def test_nokojira_leaves_kojira_out(mortal_koji: Koji) -> None:
    mortal_koji.start_database()
    hub = Hub(mortal_koji.start_hub("nokojira"), mortal_koji.credentials)
    wait_ready(hub.container)
    running = processes(hub)
    # Where kojira is wanted, it is started before Apache can answer, and waits for that.
    assert (running["/nagoya/kojira.py"], running["/usr/sbin/kojira"]) == ([], [])
    assert hub.session().getAPIVersion() == 1


def test_a_changed_tag_gets_its_repository(mortal_koji: Koji) -> None:
    hub = mortal_koji.hub_that_is_up()
    wait_for_kojira(hub)
    task = task_of_kojiras(hub)
    assert koji.taskLabel(task) == "newRepo (build)"
    assert hub.session().getUser(task["owner"])["name"] == "kojira"


@pytest.mark.parametrize(
    ("fill", "message"),
    [
        ("head -c 200M /dev/zero >full", "no room for uploads: the hub's disk has 0 MiB free"),
        ("seq 3000 | xargs touch", "no room for uploads: the hub's disk has inodes for 0 more"),
    ],
)
def test_a_full_top_directory_is_told_and_forgotten(
    hub_on_small_top: Hub, fill: str, message: str
) -> None:
    container, session = hub_on_small_top.container, hub_on_small_top.login()
    work = "/mnt/koji/work/of-a-test"
    execute(container, "sh", "-c", f"mkdir {work} && cd {work} && {fill}")
    answers, why = health(container)
    assert not answers
    assert message in why
    with pytest.raises(koji.GenericError, match=message):
        session.rawUpload(b"x", 0, "upload", "file")
    execute(container, "rm", "-r", work)
    assert health(container)[0]
    session.rawUpload(b"x", 0, "upload", "file")


def test_a_top_directory_of_another_owner_is_named(
    small_top: str, hub_on_small_top: Hub, mortal_koji: Koji
) -> None:
    container, session = hub_on_small_top.container, hub_on_small_top.login()
    execute(container, "chown", "root:", "/mnt/koji/work")
    with pytest.raises(Fault, match="Permission denied: '/mnt/koji/work/upload'"):
        session.rawUpload(b"x", 0, "upload", "file")
    message = "the hub's user, www-data, cannot write to /mnt/koji/work; as root, `chown"
    answers, why = health(container)
    assert (answers, message in why) == (False, True), why
    container.restart()
    status, log = outcome(container)
    assert (status, message in log) == (1, True), log
    mount = [f"{small_top}:/mnt/koji"]
    mortal_koji.containers.finish(
        "koji-top-volume", "chown", "33:33", "/mnt/koji/work", volumes=mount
    )
    container.start()
    wait_ready(container)


def test_survives_a_database_that_is_started_again(mortal_koji: Koji) -> None:
    database = mortal_koji.start_database()
    hub = Hub(mortal_koji.start_hub(), mortal_koji.credentials)
    wait_ready(hub.container)
    database.stop()
    assert not health(hub.container)[0]
    # The first answers may take longer than the check waits: Docker asks other servers for a name
    # that no container has any more.
    wait_until(lambda: "database outage" in health(hub.container)[1], 60, "the reason")
    database.start()
    wait_ready(hub.container, 30)


def test_gives_up_waiting_for_the_database_with_a_clear_last_word(mortal_koji: Koji) -> None:
    container = mortal_koji.start_hub(environment={"KOJI_WAIT_SECONDS": "1"})
    status, log = outcome(container)
    assert status == 1
    first, hint = log.splitlines()
    assert first.startswith(
        "koji-hub: gave up waiting for the database at kojidatabase:5432 after 1 s: "
        'could not translate host name "kojidatabase"'
    )
    assert "start koji-database on the same network" in hint


def test_is_stopped_while_it_waits(mortal_koji: Koji) -> None:
    container = mortal_koji.start_hub()
    wait_until(lambda: b"waiting for the database" in container.logs(), 20)
    container.stop(timeout=5)
    assert outcome(container)[0] == 143


@pytest.mark.parametrize(
    ("file", "reason"),
    [
        ("/nowhere.pem", "cannot read /nowhere.pem: No such file or directory"),
        ("/etc/pki/koji/koji_ca_cert.crt", "koji_ca_cert.crt has no key"),
        ("/etc/pki/koji/kojiadmin.pem", "is for kojiadmin, and not for koji.example.com"),
    ],
)
def test_says_why_it_cannot_use_the_site_s_certificate(
    mortal_koji: Koji, file: str, reason: str
) -> None:
    site = {"KOJI_WEB_URL": "https://koji.example.com/koji", "KOJI_SITE_CERTIFICATE": file}
    status, log = outcome(mortal_koji.start_hub(environment=site))
    assert status == 1
    *_, last, hint = log.splitlines()
    assert last.startswith("koji-hub: KOJI_SITE_CERTIFICATE: ")
    assert reason in last
    assert "it names a file in PEM" in hint


@pytest.mark.parametrize("mode", [None, "creds", "top", "read-only"])
def test_says_which_volume_it_lacks(mortal_koji: Koji, mode: str | None) -> None:
    creds, top = f"{mortal_koji.kojicreds.name}:ro", f"{mortal_koji.kojitop.name}:rw"
    volumes = {
        None: [],
        "top": [top],
        "creds": [creds],
        "read-only": [creds, f"{mortal_koji.kojitop.name}:ro"],
    }[mode]
    status, log = outcome(mortal_koji.start_hub(volumes_from=volumes))
    assert status == 1
    assert ("kojicreds:ro" if mode in (None, "top") else "kojitop:rw") in log.splitlines()[1]


def test_tells_every_error_in_its_environment(containers: Containers) -> None:
    wrong = {"KOJI_HUB_PLUGINS": "nothing", "KOJI_LOG_LEVEL": "loud", "KOJIRA_SLEEPTIME": "soon"}
    status, log = containers.finish(IMAGE, environment=wrong)
    assert status == 1
    assert all(f"{name}: " in log for name in wrong)
    assert "Traceback" not in log


def test_a_site_changes_it_by_files_and_variables(mortal_koji: Koji, tmp_path: Path) -> None:
    """Given as folders to mount; here they are copied in, since the engine may be elsewhere."""
    plugin = (
        "from koji.plugin import export\n@export\ndef greet(name):\n    return 'hello ' + name\n"
    )
    conf = {
        "/etc/koji-hub/hub.conf.d/site.conf": "[policy]\npackage_list =\n    all :: allow\n",
        "/etc/kojiweb/web.conf.d/site.conf": "[web]\nKojiGreeting = Be welcome\n",
        "/etc/apache2/conf.d/site.conf": "Define SITE\nServerSignature Off\n",
        "/etc/apache2/conf.d/site.vhost": 'Redirect "/hello" "/koji/hosts"\n',
        "/usr/local/lib/koji-hub-plugins/greet.py": plugin,
    }
    mortal_koji.start_database()
    writes = " && ".join(f'printf "%s" "${index}" > {path}' for index, path in enumerate(conf, 1))
    start = "exec python3 /usr/lib/nagoya/entrypoint.py nokojira"
    container = mortal_koji.start_hub(
        "sh",
        "-c",
        f"{writes} && {start}",
        "sh",
        *conf.values(),
        environment={"KOJI_HUB_PLUGINS": "greet", "KOJI_SITE_NAME": "Our Koji"},
    )
    wait_ready(container)
    hub = Hub(container, mortal_koji.credentials)
    assert hub.session().greet("you") == "hello you"
    _, url, text = hub.browser().get("/hello")
    assert url.endswith("/koji/hosts")
    assert "Our Koji" in text
    assert "Be welcome" in hub.browser().get("/koji/")[2]


def test_the_health_check_is_light(hub: Hub) -> None:
    """It runs every few seconds, beside the hub: neither Koji nor cryptography is loaded for it."""
    code = (
        "import sys; sys.path.insert(0, '/usr/lib/nagoya')\n"
        "import health; health.question()\n"
        "print({'koji', 'psycopg2', 'cryptography', 'requests'} & set(sys.modules))\n"
    )
    assert execute(hub.container, "python3", "-c", code) == (0, "set()\n")


def test_logging_out_leaves_no_traceback(hub: Hub) -> None:
    session = hub.login()
    session.logout()
    assert "session_id" not in hub.container.logs().decode()


def test_a_build_with_control_characters_can_be_read(hub: Hub, tmp_path: Path) -> None:
    """As a content generator reports it that keeps a terminal's colours."""
    build = {
        "name": "coloured", "version": "1", "release": "1", "source": "x", "owner": "kojiadmin",
        "start_time": 1, "end_time": 2, "extra": {"log": "\x1b[0m", "typeinfo": {"image": {}}},
    }  # fmt: skip
    buildroot = {
        "id": 1, "host": {"os": "linux", "arch": "x86_64"}, "tools": [], "components": [],
        "content_generator": {"name": "painter", "version": "1"},
        "container": {"type": "none", "arch": "x86_64"},
    }  # fmt: skip
    log = {
        "type": "log", "buildroot_id": 1, "filename": "build.log", "filesize": 4, "arch": "noarch",
        "checksum_type": "md5", "checksum": hashlib.md5(b"red\n").hexdigest(),
    }  # fmt: skip
    metadata = {
        "metadata_version": 0, "build": build, "buildroots": [buildroot], "output": [log],
    }  # fmt: skip
    (tmp_path / "build.log").write_text("red\n")
    (tmp_path / "metadata.json").write_text(json.dumps(metadata))
    session = hub.login()
    session.grantCGAccess("kojiadmin", "painter", create=True)
    for name in ("metadata.json", "build.log"):
        session.uploadWrapper(str(tmp_path / name), "painted")
    session.CGImport("metadata.json", "painted")
    assert session.getBuild("coloured-1-1")["extra"]["log"] == "\ufffd[0m"
