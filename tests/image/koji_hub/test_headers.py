"""koji-hub's headers, redirects and TLS: what it tells browsers, and which names it answers to."""

import re
import subprocess
from urllib.parse import urljoin

import pytest
import requests

from tests.image.running import Hub, Koji
from tests.image.tracked import execute, wait_ready

EVERYWHERE = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
}


def get(hub: Hub, path: str, scheme: str = "https", **headers: str) -> requests.Response:
    """An answer, whatever it is."""
    return requests.get(
        hub.url(path, scheme),
        headers=headers,
        verify=str(hub.authority),
        allow_redirects=False,
        timeout=30,
    )


@pytest.mark.parametrize(
    "path",
    ["/", "/koji", "/koji/", "/koji/login", "/koji/nothing", "/kojifiles/", "/kojihub", "/nothing"],
)
def test_every_answer_has_the_headers(hub: Hub, path: str) -> None:
    answer = get(hub, path)
    assert {name: answer.headers.get(name) for name in EVERYWHERE} == EVERYWHERE
    assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
    assert "Strict-Transport-Security" not in answer.headers


@pytest.mark.parametrize("path", ["/kojifiles/", "/kojifiles/x", "/koji/getfile?taskID=1&name=x"])
def test_files_run_no_scripts(hub: Hub, path: str) -> None:
    policy = get(hub, path).headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; ")
    assert "script-src" not in policy


def test_pages_run_no_scripts_of_others(hub: Hub) -> None:
    policy = get(hub, "/koji/tasks").headers["Content-Security-Policy"]
    assert "default-src 'self'; script-src 'self' 'unsafe-inline';" in policy
    assert "form-action 'self';" in policy


def test_work_is_served_and_not_listed(hub: Hub) -> None:
    make = """
        mkdir -p work/mallory/info vol/other/work/mallory/info repos/linking/1/x86_64
        touch work/mallory/file work/mallory/info/refs vol/other/work/mallory/info/refs
        ln -sfn ../../../../ repos/linking/1/x86_64/toplink
        chown -h www-data repos/linking/1/x86_64/toplink
    """
    assert execute(hub.container, "sh", "-ec", f"cd /mnt/koji; {make}") == (0, "")
    for top in ("", "repos/linking/1/x86_64/toplink/"):
        for path in ("work", "work/mallory", "vol/other/work", "vol/other/work/mallory"):
            assert get(hub, f"/kojifiles/{top}{path}/").status_code == 403
        for path in ("work/mallory/info/refs", "vol/other/work/mallory/info/refs"):
            assert get(hub, f"/kojifiles/{top}{path}").status_code == 403
        assert get(hub, f"/kojifiles/{top}work/mallory/file").status_code == 200
        assert get(hub, f"/kojifiles/{top}repos/").status_code == 200
    assert get(hub, "/kojifiles/repos/").status_code == 200


@pytest.mark.parametrize("scheme", ["https", "http"])
@pytest.mark.parametrize("path", ["/", "/koji", "/kojifiles", "/kojifiles/repos", "/kojihub"])
def test_other_names_are_refused(hub: Hub, scheme: str, path: str) -> None:
    for name in ("evil.example", "koji.evil.example", "kojix", "127.0.0.1.evil.example:443"):
        answer = get(hub, path, scheme, Host=name)
        assert answer.status_code == 421
        assert "KOJI_HUB_NAMES" in answer.text
        assert "evil" not in answer.headers.get("Location", "")


@pytest.mark.parametrize("name", ["koji", "KOJI:8443", "localhost", "127.0.0.1:1", "[::1]:8443"])
def test_its_own_names_are_answered(hub: Hub, name: str) -> None:
    answer = get(hub, "/kojifiles", Host=name)
    assert answer.status_code == 301
    assert answer.headers["Location"].lower() == f"https://{name.lower()}/kojifiles/"
    assert get(hub, "/kojihub", "http", Host=name).status_code == 302


@pytest.mark.parametrize("action", ["login", "logout"])
@pytest.mark.parametrize(
    "page",
    [
        *("https://evil.example/x", "//evil.example/x", "/\\evil.example/x", "http:\\\\evil/x"),
        *("http:evil.example/x", "https:\t//evil.example/x", "/\t/evil.example/x"),
    ],
)
def test_logging_in_and_out_stays_here(hub: Hub, action: str, page: str) -> None:
    answer = requests.get(
        hub.url(f"/koji/{action}"),
        params={"page": page},
        cert=str(hub.credentials / "kojiadmin.pem"),
        verify=str(hub.authority),
        allow_redirects=False,
        timeout=30,
    )
    assert answer.status_code == 302
    assert urljoin(hub.url("/koji/"), answer.headers["Location"]).startswith(hub.url("/"))
    # What a browser would take for the name of another host.
    assert not re.search(r"[\\\s]|//|:", answer.headers["Location"])


def test_a_site_asks_for_plain_files_and_has_a_name(mortal_koji: Koji) -> None:
    site = {"KOJI_PLAIN_FILES": "yes", "KOJI_WEB_URL": "https://koji.example.com:8443/koji"}
    mortal_koji.start_database()
    container = mortal_koji.start_hub("nokojira", environment=site)
    wait_ready(container)
    hub = Hub(container, mortal_koji.credentials)
    assert get(hub, "/kojifiles/repos/", "http").status_code == 200
    answer = get(hub, "/koji/", Host="koji.example.com")
    assert answer.headers["Strict-Transport-Security"] == "max-age=86400"
    redirect = get(hub, "/koji/tasks", "http", Host="koji").headers["Location"]
    assert redirect == "https://koji.example.com:8443/koji/tasks"


@pytest.mark.parametrize(
    ("ciphers", "accepted"),
    [("ECDHE+AESGCM", True), ("ECDHE+CHACHA20", True), ("ECDHE+SHA1", False)],
)
def test_ciphers(hub: Hub, ciphers: str, accepted: bool) -> None:
    place = hub.url("").removeprefix("https://")
    command = ["openssl", "s_client", "-connect", place, "-tls1_2", "-cipher", ciphers]
    ended = subprocess.run(command, input=b"", capture_output=True, check=False)
    assert (ended.returncode == 0) == accepted, ended.stderr
