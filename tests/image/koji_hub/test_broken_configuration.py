"""A hub whose policies or plugins cannot be loaded: reported before it starts, and afterwards."""

import json

import pytest
from docker.models.containers import Container

from tests.image.running import Koji
from tests.image.tracked import Containers, execute, health, wait_until

PLUGINS = "/usr/local/lib/koji-hub-plugins"
CONF = "/etc/koji-hub/hub.conf.d/50-test.conf"
HUB = f"[hub]\nPluginPath = {PLUGINS}\nPlugins = {{}}\n"
GREET = """\
from koji.policy import BaseSimpleTest

class GreetTest(BaseSimpleTest):
    name = "greets"
    def run(self, data):
        return True
"""


@pytest.fixture(scope="module")
def image(module_containers: Containers) -> Container:
    """A container of the hub's image in which no hub runs, with two plugins to switch on."""
    container = module_containers.start("koji-hub", "sleep", "1000")
    for name, text in (("greet", GREET), ("lacks", "import jsonschema\n")):
        write = f'printf %s "$0" >{PLUGINS}/{name}.py'
        assert execute(container, "sh", "-c", write, text) == (0, "")
    return container


def check(container: Container, text: str) -> tuple[int, str]:
    assert container.image
    command = json.loads(container.image.labels["nagoya.check-policies"])
    return execute(container, "sh", "-c", 'printf %s "$0" | "$@"', text, *command)


def policy(name: str, *rules: str) -> str:
    return f"[policy]\n{name} =\n" + "".join(f"    {rule}\n" for rule in rules)


@pytest.mark.parametrize(
    "text",
    [
        policy("tag", "has_perm admin && tag demo* :: allow", "all :: deny only admin"),
        policy("channel", "# a comment", "method build :: use fast", "has req_channel :: req"),
        policy("priority", "all :: adjust +3"),
        policy("volume", "all :: DEFAULT"),
        policy("package_list", "has_perm admin :: {", "all :: allow", "}", "all !! deny"),
        policy("tag", "greets :: allow") + HUB.format("greet"),
        policy("sidetag", "all :: whatever the plugin knows"),
    ],
)
def test_good_policies(image: Container, text: str) -> None:
    assert check(image, text) == (0, "")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            policy("tag", "has_prem admin :: allow"),
            "policy 'tag', rule 1: unknown test 'has_prem'",
        ),
        (
            policy("tag", "all :: allow", "# no rule", "all : deny"),
            "policy 'tag', rule 2: neither '::' nor '!!' in 'all : deny'",
        ),
        (
            policy("tag", "all :: alow"),
            "policy 'tag', rule 1: unknown action 'alow'; write allow or deny",
        ),
        (
            policy("channel", "all :: deny"),
            "policy 'channel', rule 1: unknown action 'deny'; write use or req or parent",
        ),
        (policy("tag", ":: allow"), "policy 'tag', rule 1: a test is missing in ':: allow'"),
        (policy("tag", "all ::"), "policy 'tag', rule 1: an action is missing in 'all ::'"),
        (
            policy("tag", "all :: {", "all :: allow"),
            "policy 'tag': a brace is not closed, or not opened",
        ),
        (policy("tag", "greets :: allow"), "policy 'tag', rule 1: unknown test 'greets'"),
        (
            policy("packge_list", "all :: allow"),
            "policy 'packge_list': Koji has none; did you mean 'package_list'?",
        ),
        (HUB.format("lacks"), "plugin lacks: No module named 'jsonschema'"),
        (HUB.format("none"), f"plugin none: it is not in {PLUGINS}"),
        ("tag = x\n", "File contains no section headers. file: '<string>', line: 1 'tag = x\\n'"),
    ],
)
def test_wrong_policies(image: Container, text: str, problem: str) -> None:
    assert check(image, text) == (1, f"{problem}\n")


def test_every_problem_is_reported(image: Container) -> None:
    status, output = check(image, policy("tag", "one :: allow", "all :: allow", "two :: allow"))
    assert status == 1
    assert output.splitlines() == [
        "policy 'tag', rule 1: unknown test 'one'",
        "policy 'tag', rule 3: unknown test 'two'",
    ]


@pytest.mark.parametrize(
    ("path", "text", "variables", "reason"),
    [
        (CONF, policy("tag", "xx :: allow"), {}, "policy 'tag', rule 1: unknown test 'xx'"),
        (
            f"{PLUGINS}/plug.py",
            "import jsonschema\n",
            {"KOJI_HUB_PLUGINS": "plug"},
            "plugin plug: No module named 'jsonschema'",
        ),
    ],
)
def test_health_says_why_the_hub_does_not_start(
    mortal_koji: Koji, path: str, text: str, variables: dict[str, str], reason: str
) -> None:
    mortal_koji.start_database()
    script = f'printf %s "$0" >{path}; exec python3 /usr/lib/nagoya/entrypoint.py nokojira'
    container = mortal_koji.start_hub("sh", "-c", script, text, environment=variables)
    answer = wait_until(
        lambda: (
            (message := health(container)[1]).startswith("not ready: the hub does not start")
            and message
        ),
        60,
    )
    assert answer == f"not ready: the hub does not start: {reason}"
