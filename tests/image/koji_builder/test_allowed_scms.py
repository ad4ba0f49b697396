"""Where koji-builder's own Koji lets sources come from."""

import pytest
from docker.models.containers import Container

from nagoya.config.declaration import Declaration
from tests.image.running import Hub, Koji
from tests.image.tracked import Containers, execute

# As kojid does it; prints what git would be asked for.
CHECK = """
import sys, koji, koji.daemon
scm = koji.daemon.SCM(sys.argv[1])
try:
    scm.assert_allowed(sys.argv[2])
except koji.BuildError as refusal:
    sys.exit(str(refusal))
print(scm.host + scm.repository)
"""


ALLOWED = "koji:/good/*:no *:/c++/%20/*"

REPOSITORY = """
git init --quiet --initial-branch=main /tmp/x && cd /tmp/x
git -c user.name=x -c user.email=x@example.com commit --quiet --allow-empty --message x
git clone --quiet --bare /tmp/x /tmp/x.git && git -C /tmp/x.git update-server-info
"""


@pytest.fixture(scope="module")
def idle(module_containers: Containers) -> Container:
    return module_containers.start("koji-builder", "sleep", "infinity")


@pytest.mark.parametrize(
    "path",
    [
        "/bad/x",
        "/good/../bad/x",
        "/good/%2e%2e/bad/x",
        "/good/.%2E/bad/x",
        "/good/%2e%2e%2fbad/x",
        "/good%2f../bad/x",
        "/good/x/../%2e%2e/bad/x",
    ],
)
def test_a_path_that_leads_elsewhere_is_refused(idle: Container, path: str) -> None:
    url = f"git+https://koji{path}#main"
    status, output = execute(idle, "python3", "-c", CHECK, url, ALLOWED)
    assert status == 1
    assert "is not in the list of allowed SCMs" in output


@pytest.mark.parametrize(
    ("path", "fetched"),
    [
        ("/good/x.git", "/good/x.git"),
        ("/good/%2e%2e/good/./x", "/good/x"),
        # Once more than a server decodes: the names of folders.
        ("/good/%252e%252e/x", "/good/%252e%252e/x"),
        ("/c++/%20/x@1", "/c++/%20/x@1"),
    ],
)
def test_other_paths_are_fetched_as_they_were_checked(
    idle: Container, path: str, fetched: str
) -> None:
    url = f"git+https://koji{path}#main"
    status, output = execute(idle, "python3", "-c", CHECK, url, ALLOWED)
    assert (status, output.strip()) == (0, f"koji{fetched}")


@pytest.mark.parametrize(
    "rest",
    [
        "?--config-option=config:tunnels:ssh=id#HEAD",
        "?folder/--option#HEAD",
        "?../x#HEAD",
        "?/etc#HEAD",
        "#--pathspec-from-file=/etc/shadow",
        "#origin/--upload-pack=id",
        "#../x",
    ],
)
@pytest.mark.parametrize("scheme", ["git+https", "git+ssh", "svn+ssh", "svn+https", "cvs+ssh"])
def test_a_part_that_would_be_an_option_is_refused(idle: Container, scheme: str, rest: str) -> None:
    status, output = execute(idle, "python3", "-c", CHECK, f"{scheme}://m@koji/good/x{rest}", "*:*")
    assert status != 0
    assert "Invalid SCM URL: " in output


@pytest.mark.parametrize("host", ["-oProxyCommand=id@koji", "-oProxyCommand=id"])
def test_a_host_that_would_be_an_option_is_refused(idle: Container, host: str) -> None:
    url = f"git+ssh://{host}/good/x#HEAD"
    status, output = execute(idle, "python3", "-c", CHECK, url, "*:*")
    assert status != 0
    assert "Invalid SCM URL: " in output


@pytest.mark.parametrize(
    "site",
    [
        "git://evil%2f@koji",
        "git://evil%2F@koji",
        "git://[::1]x@koji",
        "git://[evil]x@koji",
        "git://evil%2fx.koji",
        "git://evil:80%2fx.koji",
        "git+ssh://m%40evil%2f@koji",
        "git+ssh://[evil]x@koji",
        "svn://evil%2fx.koji",
    ],
)
def test_no_other_host_is_hidden_in_a_url(idle: Container, site: str) -> None:
    """git decodes these URLs before it looks for the host: that is `evil`, not `koji`."""
    status, output = execute(idle, "python3", "-c", CHECK, f"{site}/good/x#main", "*koji:*")
    assert status != 0
    assert "Invalid SCM URL: " in output or "does not appear to be an IP" in output


@pytest.mark.parametrize(
    ("site", "host"),
    [
        ("git+ssh://me_2.x~y@koji-2.example.com", "koji-2.example.com"),
        ("git://koji:9418", "koji:9418"),
        ("git+https://[2001:db8::1]:8443", "[2001:db8::1]:8443"),
    ],
)
def test_other_hosts_are_allowed(idle: Container, site: str, host: str) -> None:
    status, output = execute(idle, "python3", "-c", CHECK, f"{site}/good/x#main", "*:*")
    assert (status, output) == (0, f"{host}/good/x\n")


# A repository with a folder that looks like a bare one, whose HEAD is no commit's.
EMBEDDING = """
git init --quiet /tmp/outer && cd /tmp/outer && mkdir --parents inner/objects inner/refs
echo 1234567890123456789012345678901234567890 >inner/HEAD
git -c user.name=x -c user.email=x@example.com commit --quiet --allow-empty --message x
git rev-parse HEAD
"""
SOURCE = """
import koji.daemon
scm = koji.daemon.SCM("git+https://koji/good/x?inner#main")
scm.sourcedir = "{folder}"
print(scm.get_source()["source"])
"""


def test_the_commit_of_a_source_is_not_that_of_a_folder_inside(idle: Container) -> None:
    status, commit = execute(idle, "bash", "-ec", EMBEDDING)
    assert status == 0, commit
    status, output = execute(idle, "python3", "-c", SOURCE.format(folder="/tmp/outer/inner"))
    assert status != 0
    assert "cannot use bare repository" in output
    assert "1234567890" not in output
    status, output = execute(idle, "python3", "-c", SOURCE.format(folder="/tmp/outer/inner/refs"))
    assert status != 0
    status, output = execute(idle, "python3", "-c", SOURCE.format(folder="/tmp/outer"))
    assert (status, output) == (0, f"git+https://koji/good/x?inner#{commit}")


READ_SPEC = """
import importlib.machinery, importlib.util, sys
sys.dont_write_bytecode = True
loader = importlib.machinery.SourceFileLoader("kojid", "/usr/sbin/kojid")
kojid = importlib.util.module_from_spec(importlib.util.spec_from_loader("kojid", loader))
loader.exec_module(kojid)
kojid.BuildSRPMFromSCMTask.spec_sanity_checks(None, "/tmp/x.spec")
"""


@pytest.mark.parametrize(("length", "is_refused"), [(1 << 24, False), (1 << 34, True)])
def test_a_spec_file_too_long_is_not_read(idle: Container, length: int, is_refused: bool) -> None:
    """kojid would need that much memory, and the kernel would kill the builds of others first."""
    execute(idle, "bash", "-ec", f"rm -f /tmp/x.spec; truncate --size={length} /tmp/x.spec")
    status, output = execute(idle, "python3", "-c", READ_SPEC)
    assert (status != 0) == is_refused, output
    assert ("the spec file is longer than 16 MiB" in output) == is_refused


def test_a_spec_file_that_is_a_link_to_a_device_is_not_read(idle: Container) -> None:
    execute(idle, "ln", "-sf", "/dev/zero", "/tmp/x.spec")
    status, output = execute(idle, "python3", "-c", READ_SPEC)
    assert (status != 0, "the spec file is not a regular file" in output) == (True, True), output


@pytest.mark.parametrize(
    "rest", ["?folder-1/a--b#HEAD", "#origin/f42-build", "#v1..0-2", "?#x/y-z"]
)
def test_other_parts_are_allowed(idle: Container, rest: str) -> None:
    url = f"git+https://koji/good/x{rest}"
    assert execute(idle, "python3", "-c", CHECK, url, "*:*") == (0, "koji/good/x\n")


CHECKOUT = """
import os, sys, koji.daemon
os.makedirs("/tmp/x", exist_ok=True)
sys.path.insert(0, "/usr/lib/koji-builder-plugins")
import kill_checkouts_first
score = lambda: open("/proc/self/oom_score_adj").read().strip()
koji.daemon.log_output = lambda session, name, command, *_, **__: print(*command[:2], score())
kill_checkouts_first.install(koji.daemon)
scm = koji.daemon.SCM("git+https://koji/good/x#main")
scm.use_common = False
scm.checkout("/tmp", None, "uploads", "/tmp/checkout.log")
print("then", score())
"""


def test_a_checkout_has_the_memory_score_of_a_build(idle: Container) -> None:
    status, output = execute(idle, "python3", "-c", CHECKOUT)
    lines = output.splitlines()
    assert (status, lines[0], lines[-1]) == (0, "git clone 1000", "then 0")
    assert all(line.endswith(" 1000") for line in lines[:-1])


@pytest.fixture(scope="module")
def fetcher(running_koji: Koji, hub: Hub) -> Container:
    """A container with git, beside a hub that serves one repository to builders, and that has the
    same repository among the uploads."""
    container = running_koji.start_builder("fetcher", "sleep", "infinity")
    assert execute(container, "bash", "-ec", REPOSITORY) == (0, "")
    archive = b"".join(container.get_archive("/tmp/x.git")[0])
    for folder in ("demo/git", "work/mallory"):
        assert execute(hub.container, "mkdir", "-p", f"/mnt/koji/{folder}") == (0, "")
        hub.container.put_archive(f"/mnt/koji/{folder}", archive)
    return container


def ls_remote(fetcher: Container, url: str) -> tuple[int, str]:
    trust = "http.sslCAInfo=/etc/pki/koji-builders/koji_ca_cert.crt"
    return execute(fetcher, "git", "-c", trust, "ls-remote", f"https://{url}", "main")


def test_builders_fetch_the_demos_repositories(
    fetcher: Container, declaration: Declaration
) -> None:
    allowed = declaration.containers["kojibuilder"].environment["KOJI_BUILDER_ALLOWED_SCMS"]
    url = "git+https://koji/demo/git/x.git#main"
    status, checked = execute(fetcher, "python3", "-c", CHECK, url, allowed)
    assert (status, checked) == (0, "koji/demo/git/x.git\n")
    status, output = ls_remote(fetcher, checked.strip())
    assert (status, output.split()[1:]) == (0, ["refs/heads/main"])


@pytest.mark.parametrize(
    "path",
    [
        "/kojifiles/work/mallory/x.git",
        "/kojifiles/demo/git/../../work/mallory/x.git",
        "/kojifiles/demo/git/%2e%2e/%2e%2e/work/mallory/x.git",
        "/demo/git/../../kojifiles/work/mallory/x.git",
        "/demo/git/%2e%2e/%2E./kojifiles/work/mallory/x.git",
        "/demo/git/..%2f..%2fkojifiles/work/mallory/x.git",
        "/demo/git/../../work/mallory/x.git",
        "/demo/git/%2e%2e/%2e%2e/work/mallory/x.git",
        "//demo//git//..//..//kojifiles//work//mallory//x.git",
        "/demo/git//work/mallory/x.git",
        "/demo/git/%252e%252e/%252e%252e/work/mallory/x.git",
    ],
)
@pytest.mark.parametrize("checked", [True, False], ids=["by kojid", "by git alone"])
def test_no_path_leads_to_an_upload(
    fetcher: Container, declaration: Declaration, path: str, checked: bool
) -> None:
    """Neither past kojid's check, nor past the hub if kojid checked nothing."""
    url = f"koji{path}"
    if checked:
        allowed = declaration.containers["kojibuilder"].environment["KOJI_BUILDER_ALLOWED_SCMS"]
        program = ("python3", "-c", CHECK, f"git+https://{url}#main", allowed)
        status, url = execute(fetcher, *program)
        if status:
            assert "is not in the list of allowed SCMs" in url
            return
    status, output = ls_remote(fetcher, url.strip())
    assert status
    assert "not found" in output or "403" in output or "400" in output
