"""Finds out why the hub would not start, or would refuse everybody, with the hub's own parser.

Koji's hub answers "server startup error" to every call when one policy or one plugin cannot be
loaded, and writes the reason to its log alone. This loads them in the same way, in a process of its
own. As a program (the label `nagoya.check-policies`) it reads the text of a file that is meant for
/etc/koji-hub/hub.conf.d on stdin, and checks it on top of the configuration that is in force. It
prints one line for each problem and ends with 1, or prints nothing and ends with 0:

    policy 'tag', rule 1: unknown test 'has_prem'
"""

import configparser
import difflib
import importlib.machinery
import logging
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from preload import LATE

from util import entry

CONFIGURATION = Path("/etc/koji-hub/hub.conf")
USER = "www-data"

ACCESS = ("allow", "deny")
# The first words of the actions that Koji knows, where it knows all of them. The actions of
# `volume` are the names of volumes, and a plugin's policies are the plugin's.
ACTIONS = {
    **dict.fromkeys(("tag", "package_list", "cg_import", "vm", "dist_repo"), ACCESS),
    **dict.fromkeys(("build_from_srpm", "build_from_scm", "build_from_repo_id"), ACCESS),
    "channel": ("use", "req", "parent"),
    "priority": ("stay", "set", "adjust"),
}


def check_policies(text: str) -> list[str]:
    """The problems of a file of hub.conf.d, checked with the plugins that are switched on."""
    parser = configparser.RawConfigParser()
    try:
        parser.read_string(text)
    except configparser.Error as error:
        return [" ".join(str(error).split())]
    merged = configparser.RawConfigParser()
    merged.read(CONFIGURATION)
    merged.read_dict(parser)
    hub = _hub()
    plugins, problems = _load_plugins(hub, merged)
    if parser.has_section("policy"):
        policies = dict(parser.items("policy"))
        # A plugin may ask for policies of any other name.
        known = {*ACTIONS, *hub._default_policies}
        for name in policies.keys() - known:
            for close in difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.8):
                problems.append(f"policy {name!r}: Koji has none; did you mean {close!r}?")
        problems += _policy_problems(hub, policies, plugins)
    return problems


def check_startup() -> list[str]:
    """The problems of the configuration in force: one that is here keeps the hub from starting."""
    hub = _hub()
    try:
        options = hub.load_config({"koji.hub.ConfigFile": str(CONFIGURATION)})
    except Exception as error:
        return [f"{CONFIGURATION}: {_reason(error)}"]
    parser = configparser.RawConfigParser()
    parser.read(CONFIGURATION)
    plugins, problems = _load_plugins(hub, parser)
    return problems + _policy_problems(hub, options["policy"], plugins)


def _hub() -> ModuleType:
    """The module of Koji's that sets the hub up."""
    # The hub's own log has its other messages.
    logging.disable()
    sys.path.insert(0, LATE["kojihub"][0])
    try:
        # A package of its own since Koji 1.31.
        return importlib.import_module("kojihub.kojixmlrpc")
    except ImportError:
        hub = importlib.import_module("kojixmlrpc")
        hub.kojihub = importlib.import_module("kojihub")  # type: ignore[attr-defined]
        return hub


def _load_plugins(
    hub: ModuleType, configuration: configparser.RawConfigParser
) -> tuple[Any, list[str]]:
    """The hub's plugins, as Koji keeps them, and those that cannot be loaded."""
    folders = configuration.get("hub", "PluginPath", fallback="/usr/lib/koji-hub-plugins").split(
        ":"
    )
    tracker = hub.koji.plugin.PluginTracker(path=folders)
    problems = []
    for name in configuration.get("hub", "Plugins", fallback="").split():
        if not importlib.machinery.PathFinder.find_spec(name, folders):
            problems.append(f"plugin {name}: it is not in {' or '.join(folders)}")
            continue
        try:
            tracker.load(name)
        except Exception as error:
            problems.append(f"plugin {name}: {_reason(error)}")
    return tracker, problems


def _policy_problems(hub: ModuleType, policies: dict[str, str], plugins: Any) -> list[str]:
    names = " ".join(plugins.plugins)
    problems = []
    for name, text in policies.items():
        # The hub itself says which tests a policy can use.
        empty = hub.get_policy({"policy": {name: ""}, "Plugins": names}, plugins)[name]
        rule_problems = list(_rule_problems(name, text, empty))
        if not rule_problems:
            try:
                type(empty)(text.splitlines(), empty.tests)
            except Exception as error:
                rule_problems.append(_reason(error))
        problems += [
            f"policy {name!r}{', ' if problem[:4] == 'rule' else ': '}{problem}"
            for problem in rule_problems
        ]
    return problems


def _rule_problems(policy: str, text: str, rules: Any) -> Iterator[str]:
    number = 0
    for line in text.splitlines():
        if not line.split("#")[0].strip():
            continue
        number += 1
        try:
            *_, action = rules.parse_line(line)
        except IndexError:
            yield f"rule {number}: a test is missing in {line.strip()!r}"
            continue
        except Exception as error:
            yield f"rule {number}: {_reason(error)}"
            continue
        if action == "":
            yield f"rule {number}: an action is missing in {line.strip()!r}"
        elif isinstance(action, str) and action not in ("{", "}"):
            word, known = action.split()[0], ACTIONS.get(policy)
            if known and word not in known:
                yield f"rule {number}: unknown action {word!r}; write {' or '.join(known)}"


def _reason(error: Exception) -> str:
    """Koji's own message, in plainer words where it uses an internal term."""
    reason = " ".join(str(error).split()) or type(error).__name__
    reason = re.sub(r"^missing test handler: (.*)", r"unknown test '\1'", reason)
    reason = re.sub(r"^bad policy line: (.*)", r"neither '::' nor '!!' in '\1'", reason)
    return reason.replace("nesting error in rule set", "a brace is not closed, or not opened")


def main() -> int:
    """Check what comes on stdin."""
    entry.drop_privileges(USER)
    problems = check_policies(sys.stdin.read())
    for problem in problems:
        print(problem)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(entry.run("koji-hub", main))
