"""README.md and docs/: what they point at is there."""

import re
import subprocess
import tomllib
from pathlib import Path


def test_every_link_leads_somewhere(checkout: Path) -> None:
    documents = [*checkout.glob("*.md"), *(checkout / "docs").glob("*.md")]
    broken = {
        (document.name, target)
        for document in documents
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", document.read_text())
        if not (document.parent / target).exists()
    }
    assert broken == set()


def test_every_image_is_described(checkout: Path) -> None:
    described = (checkout / "docs/images.md").read_text()
    images = [path.parent.name for path in checkout.glob("koji-*/Dockerfile")]
    assert images
    assert [image for image in images if f"../{image}/" not in described] == []


def test_make_help_lists_every_target(checkout: Path) -> None:
    makefile = (checkout / "Makefile").read_text()
    (targets,) = re.findall(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)
    helped = subprocess.run(
        ["make", "--no-print-directory", "help"],
        cwd=checkout, capture_output=True, text=True, check=True,
    )  # fmt: skip
    listed = [word for line in helped.stdout.splitlines() for word in line[:24].split()]
    assert sorted(listed) == sorted(targets.split())


def test_what_is_said_to_be_installed_is_what_the_project_declares(checkout: Path) -> None:
    project = tomllib.loads((checkout / "pyproject.toml").read_text())["project"]
    declared = {*project["dependencies"], *project["optional-dependencies"]["client"]}
    texts = [*(checkout / "nagoya").rglob("*.py"), *(checkout / "docs").glob("*.md")]
    texts.append(checkout / "README.md")
    said = [
        requirement
        for path in texts
        for command in re.findall(r"pip install ([^\n(\"`]+)", path.read_text())
        for requirement in command.replace("'", "").split()
    ]
    assert len(said) > 2
    for requirement in said:
        assert requirement in declared or requirement in ("pytest", "nagoya-*.whl"), requirement
