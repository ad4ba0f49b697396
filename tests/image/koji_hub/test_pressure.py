"""koji-hub under pressure: clients that send a part, or read nothing, and keep their connections.

The attacks come from a container, all others from this machine.
"""

import re
import socket
import ssl
import time
import xmlrpc.client
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from urllib.parse import urlsplit
from xmlrpc.client import Fault

import koji
import pytest
import requests
from docker.models.containers import Container

from tests.image.running import Hub, Koji
from tests.image.tracked import execute, wait_ready, wait_until
from util.certificates import Authority

# Opens connections of one kind to the hub and keeps them; prints how many, and how many the hub has
# closed since.
ATTACK = """
import selectors, signal, socket, ssl, sys, xmlrpc.client

kind, count = sys.argv[1], int(sys.argv[2])
context = ssl._create_unverified_context()

def client_hello():
    sent = ssl.MemoryBIO()
    try:
        context.wrap_bio(ssl.MemoryBIO(), sent).do_handshake()
    except ssl.SSLWantReadError:
        return sent.read()

def post(path, length, body):
    return (f"POST {path} HTTP/1.1\\r\\nHost: koji\\r\\nContent-Type: text/xml\\r\\n"
            f"Content-Length: {length}\\r\\n\\r\\n{body}").encode()

echo = ("<methodCall><methodName>echo</methodName><params><param><value><string>"
        + "x" * 4_000_000 + "</string></value></param></params></methodCall>")
search = {"methodName": "search", "params": ["(.{0,60}){0,60}z", "user", "regexp"]}
list_api = {"methodName": "_listapi", "params": []}
lists = xmlrpc.client.dumps(([list_api] * 250,), "multiCall")
long = xmlrpc.client.dumps(([search] * 5_000,), "multiCall")
REQUESTS = {
    "half a header": b"POST /kojihub HTTP/1.1\\r\\nHost: k",
    "half a call": post("/kojihub", 1000, "<"),
    "half a form": post("/koji/search", 1000, "t"),
    "unread answers": post("/kojihub", len(echo), echo),
    "long unread answers": post("/kojihub", len(lists), lists),
    "an unread page": b"GET /kojifiles/work/long-page/x.html HTTP/1.1\\r\\nHost: koji\\r\\n\\r\\n",
    "a long call": post("/kojihub", len(long), long),
}

connections = selectors.DefaultSelector()
for _ in range(count):
    connection = socket.create_connection(("koji", 443), timeout=30)
    if kind == "half a hello":
        connection.sendall(client_hello()[:50])
    elif kind == "half a handshake":
        connection.sendall(client_hello())
    elif kind != "nothing":
        connection = context.wrap_socket(connection)
        connection.sendall(REQUESTS[kind])
    connections.register(connection, selectors.EVENT_READ)
print("holds", count, flush=True)
if "unread" in kind:
    signal.pause()
closed = 0
while True:
    for key, _ in connections.select():
        try:
            if key.fileobj.recv(65536):
                continue
        except OSError:
            pass
        connections.unregister(key.fileobj)
        closed += 1
        print("closed", closed, flush=True)
"""
# A plugin whose call takes sixteenths of the machine's memory, and does not use them.
TAKING = """
import os
from koji.plugin import export

@export
def take(count):
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return len([bytearray(memory // 16) for _ in range(count)])
"""
ATTACKS = {
    "nothing": 1000,
    "half a hello": 400,
    "half a handshake": 400,
    "half a header": 400,
    "half a call": 100,
    "half a form": 100,
    "unread answers": 10,
    "long unread answers": 6,
}


@contextmanager
def attack(koji: Koji, kind: str, count: int) -> Iterator[Container]:
    """A container that holds `count` connections of one kind."""
    container = koji.start("koji-hub", "python3", "-c", ATTACK, kind, str(count), alias="attacker")
    try:
        wait_until(lambda: f"holds {count}" in container.logs().decode(), 60, f"it holds {count}")
        yield container
    finally:
        container.kill()


def closed(attacker: Container) -> int:
    """How many of its connections the hub has closed."""
    return len(re.findall("^closed ", attacker.logs().decode(), re.MULTILINE))


def everybody_is_served(hub: Hub) -> None:
    """Ask the hub, log in and get a page, each over a new connection; raises if one waits long."""
    for _ in range(5):
        assert hub.session(timeout=10, max_retries=0).getAPIVersion() == 1
        session = hub.session(timeout=10, max_retries=0)
        session.ssl_login(str(hub.credentials / "kojiadmin.pem"), None, str(hub.authority))
        assert session.getLoggedInUser()["name"] == "kojiadmin"
        page = requests.get(hub.url("/koji/reports"), verify=str(hub.authority), timeout=10)
        assert page.status_code == 200


def answers(hub: Hub) -> bool:
    """Whether the hub answers within three seconds."""
    with suppress(requests.exceptions.RequestException):
        return bool(hub.session(timeout=3, max_retries=0).getAPIVersion())
    return False


@pytest.mark.parametrize("kind", ATTACKS)
def test_others_are_served_during_an_attack(running_koji: Koji, hub: Hub, kind: str) -> None:
    with attack(running_koji, kind, ATTACKS[kind]):
        if kind.startswith("long"):
            # Each takes the hub some seconds.
            wait_until(lambda: answers(hub), 120, "the answers are made")
        everybody_is_served(hub)


def test_others_are_served_during_all_attacks_at_once(running_koji: Koji, hub: Hub) -> None:
    with ExitStack() as attacks:
        for kind in ("nothing", "half a handshake", "half a call"):
            attacks.enter_context(attack(running_koji, kind, ATTACKS[kind]))
        everybody_is_served(hub)


@pytest.mark.parametrize("kind", [kind for kind in ATTACKS if kind.startswith("half")])
def test_the_hub_ends_half_a_request(running_koji: Koji, hub: Hub, kind: str) -> None:
    with attack(running_koji, kind, 5) as attacker:
        wait_until(lambda: closed(attacker) == 5, 90, "all are closed")


def test_one_address_cannot_have_all_connections(mortal_koji: Koji) -> None:
    """With a limit of 50, and of 3 minutes for a handshake."""
    lower = "QS_SrvMaxConnPerIP 50\nRequestReadTimeout handshake=180\n"
    write = f"printf '{lower}' > /etc/apache2/conf.d/site.conf"
    mortal_koji.start_database()
    start = f"{write}; exec python3 /usr/lib/nagoya/entrypoint.py nokojira"
    container = mortal_koji.start_hub("sh", "-c", start)
    wait_ready(container)
    with attack(mortal_koji, "half a hello", 80) as attacker:
        wait_until(lambda: closed(attacker) == 30, 60, "30 of 80 are closed")
        everybody_is_served(Hub(container, mortal_koji.credentials))
        assert closed(attacker) == 30


@pytest.mark.parametrize(("path", "limit"), [("/kojihub", 32 * 1024**2), ("/koji/search", 65536)])
def test_a_body_too_long_is_refused(hub: Hub, path: str, limit: int) -> None:
    """kojiweb compiles the regular expression that it searches for."""
    body = f"type=user&match=regexp&terms={'a|b?' * (limit // 4)}"
    answer = requests.post(hub.url(path), data=body, verify=str(hub.authority), timeout=30)
    assert answer.status_code == 413


def test_files_are_not_kept_for_their_readers(running_koji: Koji, hub: Hub) -> None:
    make = "mkdir /mnt/koji/work/long-page && truncate -s 70M /mnt/koji/work/long-page/x.html"
    assert execute(hub.container, "sh", "-c", make) == (0, "")
    with attack(running_koji, "an unread page", 10):
        time.sleep(3)
        memory = "cat /proc/[0-9]*/status | awk '/^RssAnon/ {sum += $2} END {print sum}'"
        kilobytes = int(execute(hub.container, "sh", "-c", memory)[1])
    assert kilobytes < 500 * 1024


def test_kojiweb_compiles_no_long_expression(hub: Hub) -> None:
    ranges = "".join(f"0-{chr(0xFFEF - number)}" for number in range(90))
    for terms, is_refused in ((f"(?i)[{ranges}]", True), ("^koji(admin)?$", False)):
        query = {"type": "user", "match": "regexp", "terms": terms}
        url, authority = hub.url("/koji/search"), str(hub.authority)
        answer = requests.get(url, params=query, verify=authority, timeout=30)
        assert answer.status_code == 200
        assert ("Invalid regular expression" in answer.text) == is_refused


def test_nobody_locks_the_rows_of_a_table(hub: Hub) -> None:
    session = hub.session()
    for options in ({"rowlock": True}, {"order": "id", "rowlock": True}):
        with pytest.raises(koji.GenericError, match="cannot use the option rowlock"):
            session.listTags(queryOpts=options)
        with session.multicall(strict=False) as calls:
            locked, other = calls.listTags(queryOpts=options), calls.getAPIVersion()
        with pytest.raises(koji.GenericError, match="cannot use the option rowlock"):
            assert locked.result
        assert other.result == 1


def test_nobody_searches_for_days(hub: Hub) -> None:
    r"""PostgreSQL would: each piece of a name is tried with each other."""
    session = hub.session()
    slow = r"^(([^z]+)(z?)\3)+$"
    with pytest.raises(koji.GenericError, match="cannot have back references"):
        session.search(slow, "rpm", "regexp")
    with pytest.raises(koji.GenericError, match="cannot have back references"):
        session.countAndFilterResults("search", slow, "rpm", "regexp")
    hidden = {"methodName": "search", "params": {slow: 1, "rpm": 1, "regexp": 1}}
    ((refused),) = session.callMethod("multiCall", [hidden])
    assert "the arguments of a call are a list" in refused["faultString"]
    assert session.search("^koji(admin)?$", "user", "regexp")
    # Without a back reference, it takes minutes.
    endless = r"((^|$|.|\y){0,40}){0,40}q"
    with pytest.raises(koji.GenericError, match="busy with this search for"):
        session.search(endless, "user", "regexp")
    # Here each dot begins another one.
    with pytest.raises(koji.GenericError, match="busy with this search for"):
        session.getArchiveType("~|." * 1_000 + "((^|$|[^~]|m){0,3}){0,4}q")
    session = hub.login()
    calls = [
        {"methodName": "search", "params": (text, "user", "regexp")} for text in (endless, "k")
    ]
    (fault, ((_, *_),)) = session.callMethod("multiCall", calls)
    assert "busy with this search for" in fault["faultString"]


def test_one_search_at_a_time_takes_long(hub: Hub) -> None:
    """kojiweb has eight threads, and the hub as few as two processes."""
    calls = [(rf"((^|$|.|\y){{0,40}}){{0,40}}q{number}", "user", "regexp") for number in range(8)]

    def search_for(call: tuple[str, ...]) -> str:
        with pytest.raises(koji.GenericError, match="the database was busy with") as error:
            hub.session().search(*call)
        return str(error.value)

    with ThreadPoolExecutor(8) as threads:
        ended = threads.map(search_for, calls)
        time.sleep(2)
        assert hub.session(timeout=15, max_retries=0).getAPIVersion() == 1
        reasons = [*ended]
    assert sum("another long search" in reason for reason in reasons) >= 4, reasons
    assert hub.session().search("koji*", "user", "glob")


def test_no_number_takes_minutes_to_be_read(hub: Hub) -> None:
    value = "<value><bigdecimal>1E+2000000</bigdecimal></value>"
    answer = requests.post(
        hub.url("/kojihub"),
        data="<methodCall><methodName>getTaskInfo</methodName><params><param>"
        f"{value}</param></params></methodCall>",
        headers={"Content-Type": "text/xml"},
        verify=str(hub.authority),
        timeout=10,
    )
    with pytest.raises(Fault, match=r"unknown tag .*bigdecimal"):
        xmlrpc.client.loads(answer.text)


def test_a_task_has_a_length(hub: Hub) -> None:
    """kojiweb shows the sources of the last ten to everybody."""
    session = hub.login()
    with pytest.raises(koji.GenericError, match="of this task have"):
        session.build("x" * 1_000_000, "demo")
    # Lists without values, and short numbers, are long as XML.
    for source in (["x" * 100] * 3_000, {"x" * 300_000: 1}, [[]] * 80_000, [1] * 20_000):
        with pytest.raises(koji.GenericError, match="of this task have"):
            session.makeTask("build", [source, "demo"])
    chain = [[f"git+https://koji/demo/git/package{number}.git#main" for number in range(1_000)]]
    session.createTag("chained")
    session.createBuildTarget("chained", "chained", "chained")
    session.cancelTask(session.chainBuild(chain, "chained"))


def test_the_tasks_of_a_day_have_a_length(hub: Hub) -> None:
    """The database keeps them for years."""
    admin = hub.login()
    admin.createTag("writers")
    admin.createBuildTarget("writers", "writers", "writers")
    user = admin.createUser("writer")
    Authority.load(hub.credentials).issue("writer", client=True)
    session = hub.login("writer")
    session.cancelTask(session.build("first.src.rpm", "writers"))
    taken = f"sed -i 's/ 1024$/ {1024**3 - 1024}/' /run/koji-hub/allowances/tasks-{user}"
    assert execute(hub.container, "sh", "-c", taken) == (0, "")
    session.cancelTask(session.build("last.src.rpm", "writers"))
    with pytest.raises(koji.GenericError, match="your tasks of this day fill 1024 MiB"):
        session.build("other.src.rpm", "writers")
    admin.cancelTask(admin.build("other.src.rpm", "writers"))


def search(number: int) -> tuple[str, tuple[str, ...]]:
    """A call that keeps PostgreSQL busy for some tenths of a second, as no other of this kind."""
    return "search", (f"(.{{0,60}}){{0,60}}z{number}", "user", "regexp")


def multicall(number: int) -> str:
    """A request for minutes."""
    calls = [search(500 * number + each) for each in range(500)]
    call = [{"methodName": name, "params": params} for name, params in calls]
    return xmlrpc.client.dumps((call,), "multiCall")


def single_call(number: int) -> str:
    name, params = search(number)
    return xmlrpc.client.dumps(params, name)


def long_list(_number: int) -> str:
    """The numbers of tasks, each of which is a statement."""
    return xmlrpc.client.dumps(([2] * 60_000,), "getTaskInfo")


def page(_number: int) -> str:
    return ""


def test_a_client_that_vanishes_is_noticed(running_koji: Koji, hub: Hub) -> None:
    """As where a firewall drops its packets from now on: nothing closes its connections."""
    with attack(running_koji, "a long call", 20) as attacker:
        time.sleep(5)
        assert not answers(hub)
        running_koji.network.disconnect(attacker)
        wait_until(lambda: answers(hub), 40, "the hub answers")
        everybody_is_served(hub)


@pytest.mark.parametrize(
    ("request_of", "count"),
    [(multicall, 4), (single_call, 400), (long_list, 8), (page, 1000)],
)
def test_nothing_is_done_for_clients_that_have_left(
    hub: Hub, request_of: Callable[[int], str], count: int
) -> None:
    """Neither for those whose call is under way, nor for those that wait in a queue."""
    url = urlsplit(hub.url("/kojihub"))
    trusting = ssl.create_default_context(cafile=str(hub.authority))
    with ExitStack() as connections:
        for number in range(count):
            body = request_of(number).encode()
            first = f"POST {url.path}" if body else "GET /koji/api"
            head = f"{first} HTTP/1.1\r\nHost: {url.netloc}\r\nContent-Type: text/xml\r\n"
            plain = socket.create_connection((url.hostname, url.port or 443))
            connection = trusting.wrap_socket(plain, server_hostname=url.hostname)
            connections.enter_context(connection)
            connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        time.sleep(2)
    everybody_is_served(hub)


def test_the_answers_of_a_multicall_have_a_limit(hub: Hub) -> None:
    """Each has some 200 kB, and the hub would keep all of them."""
    calls = [{"methodName": "_listapi", "params": []}] * 20_000
    with pytest.raises(koji.GenericError, match="divide it into several"):
        hub.session().callMethod("multiCall", calls)


def test_a_call_has_a_part_of_the_memory(mortal_koji: Koji) -> None:
    mortal_koji.start_database()
    write = f"cat >/usr/local/lib/koji-hub-plugins/taking.py <<'END'{TAKING}END\n"
    container = mortal_koji.start_hub(
        "sh",
        "-c",
        f"{write}exec python3 /usr/lib/nagoya/entrypoint.py nokojira",
        environment={"KOJI_HUB_PLUGINS": "taking"},
    )
    wait_ready(container)
    hub = Hub(container, mortal_koji.credentials)
    assert hub.session().take(1) == 1
    with pytest.raises(Fault, match="MemoryError"):
        hub.session().take(12)
    everybody_is_served(hub)
