"""Every page of kojiweb, asked for with something to show."""

import ast
import re
from typing import Any

import pytest
import requests

from tests.image.running import Browser, Hub
from tests.image.tracked import execute

# By the name of the page, its arguments, with the names of what `content` made in braces.
# A page that is none of these changes something, or shows what only a build leaves behind.
PAGES = {
    "index": "",
    "tasks": "state=all&view=flat",
    "taskinfo": "taskID={task}",
    "taskstatus": "taskID={task}",
    "watchlogs": "taskID={task}",
    "tags": "",
    "taginfo": "tagID={tag}&all=1",
    "packages": "tagID={tag}",
    "packageinfo": "packageID={package}",
    "externalrepoinfo": "extrepoID={repository}",
    "builds": "state=0",
    "buildinfo": "buildID={build}",
    "users": "",
    "userinfo": "userID={user}",
    "hosts": "state=all",
    "hostinfo": "hostID={host}",
    "channelinfo": "channelID=1",
    "buildtargets": "",
    "buildtargetinfo": "targetID={target}",
    "reports": "",
    "buildsbyuser": "",
    "rpmsbyhost": "",
    "packagesbyuser": "",
    "tasksbyhost": "",
    "tasksbyuser": "",
    "buildsbystatus": "",
    "buildsbytarget": "",
    "clusterhealth": "",
    "recentbuilds": "",
    "search": "match=glob&type=package&terms=*",
    "api": "",
}
# Those that are for users alone: they want a token that a page of theirs carries.
FORMS = {
    "tagcreate": "",
    "tagedit": "tagID={tag}",
    "tagparent": "tagID={tag}&parentID={parent}&action=add",
    "buildtargetcreate": "",
    "buildtargetedit": "targetID={target}",
    "hostedit": "hostID={host}",
    "notificationcreate": "",
    "notificationedit": "notificationID={notification}",
}
# In this order, as the later ones delete what the earlier ones need.
ACTIONS = {
    "disablehost": "hostID={host}",
    "enablehost": "hostID={host}",
    "freetask": "taskID={task}",
    "canceltask": "taskID={task}",
    "resubmittask": "taskID={task}",
    "notificationdelete": "notificationID={notification}",
    "buildtargetdelete": "targetID={target}",
    "tagdelete": "tagID={parent}",
    "login": "",
    "logout": "",
}
# What Koji has since 1.30, each asked for where the hub has it.
LATER = {
    "activesession": "",
    "activesessiondelete": "sessionID={session}",
    "buildroots": "repoID=1",
    "reporequest": "reqID={request}",
    "reporequests": "",
}
AFTER_A_BUILD = {
    "archiveinfo",
    "archivelist",
    "buildrootinfo",
    "cancelbuild",
    "fileinfo",
    "getfile",
    "repoinfo",
    "rpminfo",
    "rpmlist",
}


@pytest.fixture(scope="module")
def content(hub: Hub) -> dict[str, Any]:
    """One of everything that there can be without a build, by its id."""
    session = hub.login()
    user = session.getLoggedInUser()["id"]
    tag = session.createTag("pages", arches="x86_64")
    parent = session.createTag("pages-parent")
    session.createBuildTarget("pages-target", "pages", "pages-parent")
    session.packageListAdd("pages", "hello", owner="kojiadmin")
    build = session.createEmptyBuild("hello", "1", "1", None)
    session.createNotification(user, None, tag, False)
    host = session.addHost("pages-host", ["x86_64"])
    task = session.newRepo("pages")
    # From Koji 1.32 on only a task that is assigned or open can be freed.
    session.assignTask(task, "pages-host", True)
    on_request = "repo.request" in session.system.listMethods()
    return {
        "request": session.repo.request("pages")["request"]["id"] if on_request else None,
        "session": hub.login().sinfo["session-id"],
        "user": user,
        "tag": tag,
        "parent": parent,
        "target": session.getBuildTarget("pages-target")["id"],
        "package": session.getPackageID("hello"),
        "build": build,
        "notification": session.getBuildNotifications(user)[0]["id"],
        "repository": session.createExternalRepo("pages-external", "https://example.com/repo/")[
            "id"
        ],
        "host": host,
        "task": task,
    }


@pytest.fixture(scope="module")
def user(hub: Hub) -> Browser:
    """A browser in which kojiadmin has logged in."""
    browser = hub.browser("kojiadmin")
    assert browser.get("/koji/login")[0] == 200
    return browser


def parameters(hub: Hub) -> dict[str, list[str]]:
    """The parameters of each page that this hub's kojiweb has."""
    source = execute(hub.container, "cat", "/usr/share/koji-web/scripts/index.py")[1]
    return {
        function.name: [argument.arg for argument in function.args.args[1:]]
        for function in ast.parse(source).body
        if isinstance(function, ast.FunctionDef)
        and not function.name.startswith("_")
        and function.args.args
        and function.args.args[0].arg == "environ"
    }


def pages_of(hub: Hub) -> set[str]:
    """The pages that this hub's kojiweb has."""
    return set(parameters(hub))


def test_no_page_is_forgotten(hub: Hub) -> None:
    assert pages_of(hub) | LATER.keys() == {*PAGES, *FORMS, *ACTIONS, *AFTER_A_BUILD, *LATER}


@pytest.mark.parametrize("page", PAGES)
def test_page(hub: Hub, content: dict[str, Any], page: str) -> None:
    status, _, text = hub.browser().get(f"/koji/{page}?{PAGES[page].format_map(content)}")
    assert status == 200, explained(text)


def test_pages_of_a_user(hub: Hub, user: Browser, content: dict[str, Any]) -> None:
    """In one test, since the last of them change what the first ones show.

    All stay on HTTPS, logging out as well, which Koji by itself would answer with plain HTTP.
    """
    token = re.search(r"[?&](?:amp;)?a=([0-9a-f]{64})", user.get("/koji/buildtargets")[2])
    assert token
    present = pages_of(hub)
    for pages in (PAGES, FORMS, LATER, ACTIONS):
        for page, arguments in pages.items():
            if page not in present:
                continue
            path = f"/koji/{page}?a={token[1]}&{arguments.format_map(content)}".rstrip("&")
            status, url, text = user.get(path)
            assert status == 200, (path, explained(text))
            assert url.startswith(hub.url("/koji/")), path


def explained(text: str) -> str:
    """What an error page of kojiweb says."""
    match = re.search(r"<pre>(.*?)</pre>", text, re.DOTALL)
    return match[1] if match else text[-2000:]


@pytest.mark.parametrize("value", ["x", "99", "99999999999999999999", "-1", "%00", "a&{name}=b"])
def test_a_wrong_parameter_is_the_senders_mistake(hub: Hub, value: str) -> None:
    """Each parameter of each page by itself."""
    browser, wrong = hub.browser(), []
    for page, names in sorted(parameters(hub).items()):
        for name in names:
            path = f"/koji/{page}?{name}={value.format(name=name)}"
            status, _, text = browser.get(path)
            if status >= 500:
                wrong.append((path, status, explained(text)))
    assert not wrong


@pytest.mark.parametrize(
    "form",
    [
        "terms=(",
        "terms=(&type=package",
        "terms=(&type=x&match=exact",
        "terms=%00&type=package&match=glob",
    ],
)
def test_a_search_that_lacks_a_field(hub: Hub, form: str) -> None:
    """A page of its own kind: its fields are not arguments of the page's function."""
    assert hub.browser().get(f"/koji/search?{form}")[0] == 400


@pytest.mark.parametrize("query", ["state=free&", "&", "state", "state=free&&order=id"])
def test_a_query_with_an_empty_part(hub: Hub, query: str) -> None:
    assert hub.browser().get(f"/koji/tasks?{query}")[0] in {200, 400}


@pytest.mark.parametrize("method", ["PUT", "OPTIONS", "DELETE", "PATCH"])
def test_methods_that_no_page_has(hub: Hub, method: str) -> None:
    answer = requests.request(method, hub.url("/koji/tasks"), verify=str(hub.authority), timeout=30)
    assert answer.status_code == 405


def test_an_error_page_says_what_is_wrong(hub: Hub) -> None:
    status, _, text = hub.browser().get("/koji/taskinfo?taskID=x")
    assert status == 400
    assert "has a parameter that this page cannot use" in text
    assert "invalid literal for int()" in text
    assert "bug or a configuration issue" not in text
    assert hub.browser().get("/koji/taskinfo?taskID=987654")[0] == 404
    assert hub.browser().get("/koji/tagcreate")[0] == 403
