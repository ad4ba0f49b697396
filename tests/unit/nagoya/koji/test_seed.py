"""Reading a seed file: which documents are ours, and what is wrong with them."""

import re
from pathlib import Path

import pytest

from nagoya.errors import DeclarationError
from nagoya.koji import seed


def written(folder: Path, text: str) -> Path:
    path = folder / "seed.yml"
    path.write_text(text)
    return path


def test_documents_of_koji_habitude_pass_as_they_are(tmp_path: Path) -> None:
    read = seed.read_seed(written(tmp_path, "type: tag\nname: some\narches: [x86_64]\n"))
    assert read.habitude == ({"type": "tag", "name": "some", "arches": ["x86_64"]},)
    assert read.ours == ()


def test_ours_are_told_apart(tmp_path: Path) -> None:
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
    user, policy, imported = seed.read_seed(written(tmp_path, text)).ours
    assert user == seed.User(type="user", name="somebody", permissions=("build",))
    assert policy.rules == ("has_perm admin :: allow", "all :: deny")
    assert imported.builds == ("a-1-1",)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: nameless\n", "document 1: has no 'type'"),
        ("- a\n- b\n", "document 1: has no 'type'"),
        ("type: user\n", "document 1 (user): name: Field required"),
        ("type: user\nname: x\ncolour: red\n", "document 1 (user): colour: Extra inputs"),
        ("type: policy\nname: tag\nrules: []\n", "document 1 (policy): rules: "),
        ("type: [\n", "cannot be read"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DeclarationError) as raised:
        seed.read_seed(written(tmp_path, text))
    assert message in raised.value.message


def test_every_problem_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(DeclarationError) as raised:
        seed.read_seed(written(tmp_path, "type: user\n---\ntype: policy\nname: tag\n"))
    assert len(raised.value.problems) == 2


def test_the_examples_of_the_documentation_can_be_read(checkout: Path, tmp_path: Path) -> None:
    text = (checkout / "docs/seed.md").read_text()
    examples = re.findall(r"^```yaml\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    read = seed.read_seed(written(tmp_path, "---\n".join(examples)))
    assert [type(one) for one in read.ours] == [seed.User, seed.Policy, seed.Import]
    assert [one["type"] for one in read.habitude] == ["tag", "tag"]


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(DeclarationError, match="No such file"):
        seed.read_seed(tmp_path / "missing.yml")
