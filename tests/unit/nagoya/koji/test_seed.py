"""Reading a seed file: which documents are Nagoya's, and what is wrong with them."""

import re
from pathlib import Path
from types import SimpleNamespace

import pytest
from koji_habitude.models import CORE_TYPES

from nagoya.errors import DeclarationError
from nagoya.koji import habitude, seed
from nagoya.koji.policies import Policy, render
from nagoya.koji.users import User


def written(folder: Path, text: str) -> Path:
    path = folder / "seed.yml"
    path.write_text(text)
    return path


def test_documents_of_koji_habitude_pass_as_they_are(tmp_path: Path) -> None:
    path = written(tmp_path, "type: channel\nname: c\n---\n\ntype: tag\nname: some\n")
    read = seed.read_seed(path)
    assert read.habitude[1] == {
        "type": "tag", "name": "some", "__file__": str(path), "__line__": 5,
    }  # fmt: skip
    assert (read.users, read.policies, read.imports) == ({}, {}, {})


def test_ours_are_kept_apart(tmp_path: Path) -> None:
    text = """
type: user
name: somebody
permissions: [build]
---
type: policy
name: tag
rules: ["has_perm admin :: allow", "all :: deny"]
---
type: import
tag: some
builds: [a-1-1]
rpms: ["*.rpm"]
"""
    read = seed.read_seed(written(tmp_path, text))
    assert read.users == {1: User(type="user", name="somebody", permissions=("build",))}
    assert read.policies[2].rules == ("has_perm admin :: allow", "all :: deny")
    assert read.imports[3].builds == ("a-1-1",)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: nameless\n", "document 1: needs a 'type'"),
        ("- a\n- b\n", "document 1: needs a 'type'"),
        ("type: tga\nname: x\n", "document 1: unknown type 'tga'; did you mean 'tag'?"),
        ("type: user\n", "document 1 (user): needs 'name'"),
        ("type: tag\nname: 5\n", "document 1 (tag): put quotes around its 'name'"),
        ("type: user\nnam: x\n", "document 1 (user): nam: unknown key; did you mean 'name'?"),
        ("type: import\ntag: t\n", "document 1 (import): needs either 'rpms' or 'repo'"),
        ("type: import\ntag: t\nrepo: http://a/\n", "repo: 'http://a/' is not an https URL"),
        ("type: policy\nname: tag\nrules: []\n", "document 1 (policy): rules: "),
        ("type: policy\nname: tag\nrules: all\n", "document 1 (policy): rules: should be a list"),
        ('type: policy\nname: tag\nrules: ["a :: b\\n[x]"]\n', "rules[0]: is not one line"),
        ("type: policy\nname: 'a\n\n  [hub]'\nrules: [b]\n", "document 1 (policy): name: "),
        (
            "type: policy\nname: t\nrules: [a]\n---\ntype: policy\nname: t\nrules: [b]\n",
            "document 2 (policy): document 1 has the policy 't' already",
        ),
        ("type: [\n", "line 2, column 1: expected the node content"),
    ],
)
def test_what_is_wrong_is_reported_with_its_place(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DeclarationError) as raised:
        seed.read_seed(written(tmp_path, text))
    assert message in raised.value.message


def test_every_problem_is_reported_at_once(tmp_path: Path) -> None:
    text = "type: user\n---\ntype: tga\n---\ntype: policy\nname: tag\n"
    with pytest.raises(DeclarationError) as raised:
        seed.read_seed(written(tmp_path, text))
    assert len(raised.value.problems) == 3


def test_the_names_of_templates_are_types(tmp_path: Path) -> None:
    text = "type: template\nname: mine\n---\ntype: mine\nname: x\n"
    assert len(seed.read_seed(written(tmp_path, text)).habitude) == 2


def test_the_types_are_those_of_koji_habitude() -> None:
    assert {model.typename for model in CORE_TYPES} - {"user"} <= set(habitude.TYPES)


def test_the_examples_of_the_documentation_can_be_read(checkout: Path, tmp_path: Path) -> None:
    text = (checkout / "docs/seed.md").read_text()
    examples = re.findall(r"^```yaml\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    read = seed.read_seed(written(tmp_path, "---\n".join(examples)))
    assert [len(each) for each in (read.users, read.policies, read.imports)] == [1, 1, 2]
    assert [document["type"] for document in read.habitude] == ["tag", "tag"]


def test_a_file_that_is_not_there_is_reported(tmp_path: Path) -> None:
    with pytest.raises(DeclarationError, match=r"missing\.yml:\n  no such file") as raised:
        seed.read_seed(tmp_path / "missing.yml")
    assert raised.value.exit_code == DeclarationError.exit_code


def test_policies_become_a_file_of_the_hubs_configuration() -> None:
    policy = Policy(type="policy", name="tag", rules=("all :: allow", "x :: deny no"))
    assert render([policy]).splitlines()[1:] == [
        "[policy]",
        "tag =",
        "    all :: allow",
        "    x :: deny no",
    ]


def test_a_reserved_user_is_reported_before_anything_is_done(tmp_path: Path) -> None:
    path = written(tmp_path, "type: user\nname: kojiweb\n---\ntype: user\nname: al ice\n")
    with pytest.raises(DeclarationError) as caught:
        seed.read_seed(path)
    assert [*caught.value.problems] == [
        "document 1 (user): 'kojiweb' is reserved: a part of the system has that name",
        "document 2 (user): 'al ice' cannot be a user's name",
    ]


def test_a_channel_is_added_by_the_call_that_hubs_have() -> None:
    calls = []
    hub = SimpleNamespace(addChannel=lambda *words: calls.append(words))
    change = SimpleNamespace(obj=SimpleNamespace(name="large", description="x"))
    habitude._add_channel(change, hub)
    assert calls == [("large", "x")]
