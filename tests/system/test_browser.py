"""kojiweb in a real browser: Debian's Chromium, with the instance's authority and kojiadmin's
certificate in its own key store, as a person would import them."""

import json
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from playwright.sync_api import BrowserContext, Error, Page, Response, sync_playwright

from tests.system.conftest import ARTIFACTS, Koji

CHROMIUM = "/usr/bin/chromium"
POLICIES = Path("/etc/chromium/policies/managed")

# Chromium's calls home are refused here, many at a time, and only cost time.
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)


@pytest.fixture(scope="module")
def key_store(seeded: Koji, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home folder whose NSS key store trusts the instance and holds kojiadmin's certificate."""
    home = tmp_path_factory.mktemp("browser")
    folder = home / ".pki" / "nssdb"
    folder.mkdir(parents=True)
    store, description = f"sql:{folder}", seeded.description
    seeded.run("certutil", "-d", store, "-N", "--empty-password")
    seeded.run("certutil", "-d", store, "-A", "-n", "Koji", "-t", "C,,", "-i", description["ca"])
    seeded.run(
        *("pk12util", "-d", store, "-i", description["browser_certificate"]),
        *("-W", description["browser_password"], "-K", ""),
    )
    return home


@pytest.fixture(scope="module")
def browser(seeded: Koji, key_store: Path) -> Iterator[BrowserContext]:
    """Chromium, whose policy shows that certificate where a person would click on it."""
    origin = seeded.description["urls"]["web"].removesuffix("/koji")
    choice = json.dumps({"pattern": origin, "filter": {}})
    policy = POLICIES / f"nagoya-test-{secrets.token_hex(4)}.json"
    POLICIES.mkdir(parents=True, exist_ok=True)
    policy.write_text(json.dumps({"AutoSelectCertificateForUrls": [choice]}))
    try:
        with sync_playwright() as playwright:
            context = playwright.chromium.launch_persistent_context(
                str(key_store / "profile"),
                executable_path=CHROMIUM,
                env={**os.environ, "HOME": str(key_store)},
                args=FLAGS,
            )
            yield context
            context.close()
    finally:
        policy.unlink()


def go(page: Page, url: str) -> Response | None:
    """Go to a page. Chromium aborts when a network of this machine is added or removed, as other
    tests do; then the page is loaded again."""
    while True:
        try:
            return page.goto(url)
        except Error as error:
            if "ERR_NETWORK_CHANGED" not in error.message:
                raise


def opened(page: Page, url: str) -> Response:
    """Go to a page, which has to be there."""
    response = go(page, url)
    assert response is not None
    assert response.status == 200
    return response


# Runs in a page that shows it as HTML.
PLANTED = "<img src=x onerror=planted=1>"


def shown(page: Page, url: str) -> str:
    """The text of a page that runs nothing of what others have planted in it."""
    go(page, url)
    assert page.evaluate("typeof planted") == "undefined", url
    return page.inner_text("#content")


def test_kojiadmin_logs_in_and_sees_the_name(browser: BrowserContext, seeded: Koji) -> None:
    page = browser.new_page()
    response = opened(page, seeded.description["urls"]["web"] + "/")
    security = response.security_details()
    assert security is not None
    assert security["protocol"] == "TLS 1.3"
    assert "kojiadmin" not in page.inner_text("#loginInfo")

    page.click("text=login")
    page.wait_for_selector("text=logout")
    assert "kojiadmin" in page.inner_text("#loginInfo")
    ARTIFACTS.mkdir(exist_ok=True)
    page.screenshot(path=ARTIFACTS / "kojiweb-logged-in.png", full_page=True)


def test_a_person_finds_the_builder_and_a_tasks_log(browser: BrowserContext, seeded: Koji) -> None:
    session = seeded.session()
    session.createTag("seen", arches="x86_64")
    session.createBuildTarget("seen", "seen", "seen")
    seeded.client("regen-repo", "--wait", "seen")
    page = browser.new_page()
    web = seeded.description["urls"]["web"]

    opened(page, f"{web}/hosts")
    page.click("text=kojibuilder")
    assert "createrepo" in page.inner_text("#content")

    task = session.getRepo("seen")["task_id"]
    opened(page, f"{web}/taskinfo?taskID={task}")
    assert "closed" in page.inner_text("#content")
    page.screenshot(path=ARTIFACTS / "kojiweb-task.png", full_page=True)
    page.locator("#content a[href*=taskinfo]", has_text="createrepo").first.click()
    page.wait_for_url("**/taskinfo*")
    assert "closed" in page.inner_text("#content")


def test_links_to_files_lead_somewhere(browser: BrowserContext, seeded: Koji) -> None:
    """kojiweb's links have to be of use to a browser outside of the system's network."""
    page = browser.new_page()
    urls = seeded.description["urls"]
    opened(page, f"{urls['web']}/")
    images = page.locator("img").evaluate_all("all => all.map(i => [i.src, i.naturalWidth])")
    assert images
    assert all(width > 0 for _, width in images), images
    opened(page, f"{urls['files']}/repos/")


def test_a_person_finds_the_build_and_its_rpm(browser: BrowserContext, seeded: Koji) -> None:
    page = browser.new_page()
    opened(page, f"{seeded.description['urls']['web']}/builds")
    page.click("text=hello-1.0-1.demo")
    content = page.inner_text("#content")
    assert "complete" in content
    assert "kojiadmin" in content
    page.screenshot(path=ARTIFACTS / "kojiweb-build.png", full_page=True)
    link = page.locator("a[href$='.noarch.rpm']").first.get_attribute("href")
    with page.expect_download() as download:
        page.evaluate("link => { window.location.href = link }", link)
    assert download.value.suggested_filename == "hello-1.0-1.demo.noarch.rpm"


def test_a_link_runs_no_script_in_kojiweb(browser: BrowserContext, seeded: Koji) -> None:
    """CVE-2024-9427, and the same with a parameter that is given twice."""
    web = seeded.description["urls"]["web"]
    page = browser.new_page()
    assert PLANTED in shown(page, f"{web}/hosts?channel={quote(PLANTED)}")
    broken_out = quote(f'">{PLANTED}')
    shown(page, f"{web}/hosts?channel=x&channel={broken_out}")
    shown(page, f"{web}/hosts?channel=-(planted=1)-&channel=-(planted=2)-")
    handlers = "all => all.map(each => each.getAttribute('onchange'))"
    assert "(planted" not in "".join(page.eval_on_selector_all("[onchange]", handlers))


def test_the_name_of_a_tasks_file_runs_no_script(browser: BrowserContext, seeded: Koji) -> None:
    session = seeded.session()
    task = session.listTasks(opts={"method": "buildArch"}, queryOpts={"limit": 1})[0]["id"]
    name = f"/mnt/koji/work/tasks/{task % 10000}/{task}/{PLANTED.replace('/', '')}.rpm"
    seeded.run("docker", "exec", f"{seeded.system}-koji", "touch", name)
    page = browser.new_page()
    go(page, f"{seeded.description['urls']['web']}/taskstatus?taskID={task}")
    assert "<img" in page.content()
    assert page.evaluate("typeof planted") == "undefined"


@pytest.mark.parametrize("source", ["git+https://koji/x", "cli-build/x"])
def test_the_parameters_of_a_task_run_no_script(
    browser: BrowserContext, seeded: Koji, source: str
) -> None:
    session = seeded.session()
    options = {"scratch": True, PLANTED: {"a": PLANTED}, "properties": {PLANTED: PLANTED}}
    task = session.build(f"{source}{PLANTED}", "demo", options)
    session.cancelTask(task)
    page = browser.new_page()
    web = seeded.description["urls"]["web"]
    content = shown(page, f"{web}/taskinfo?taskID={task}")
    assert content.count(PLANTED) >= 5
    shown(page, f"{web}/tasks?state=all&view=flat")


def test_what_a_page_cannot_make_sense_of_runs_no_script(
    browser: BrowserContext, seeded: Koji
) -> None:
    """Parameters that are not those of the method, and what a tag's owner notes in its extra."""
    session = seeded.session()
    web = seeded.description["urls"]["web"]
    page = browser.new_page()
    task = session.makeTask("newRepo", [PLANTED])
    session.cancelTask(task)
    assert PLANTED in shown(page, f"{web}/taskinfo?taskID={task}")
    tag = session.createTag("planted", extra={PLANTED: PLANTED})
    assert shown(page, f"{web}/taginfo?tagID={tag}").count(PLANTED) == 2


def test_an_uploaded_page_runs_no_script(
    browser: BrowserContext, seeded: Koji, tmp_path: Path
) -> None:
    """It is served from kojiweb's own site."""
    (tmp_path / "page.html").write_text(f"<p id=content>{PLANTED}<script>planted = 1</script>shown")
    seeded.session().uploadWrapper(str(tmp_path / "page.html"), "planted")
    url = f"{seeded.description['urls']['files']}/work/planted/page.html"
    assert "shown" in shown(browser.new_page(), url)
