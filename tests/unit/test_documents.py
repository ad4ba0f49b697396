"""README.md and docs/: their links, drawing, commands and lists are right."""

import re
import subprocess
import tomllib
from pathlib import Path

from nagoya.build.diagram import mermaid
from nagoya.config.loader import read


def test_every_link_leads_somewhere(checkout: Path) -> None:
    links = [
        (document, *target.partition("#")[::2])
        for document in [*checkout.glob("*.md"), *(checkout / "docs").rglob("*.md")]
        for target in re.findall(r"\]\(([^):]+)\)", document.read_text())
    ]
    assert len(links) > 20
    broken = [
        (document.name, path, anchor)
        for document, path, anchor in links
        if not (target := document.parent / path if path else document).exists()
        or (anchor and anchor not in anchors(target))
    ]
    assert broken == []


def anchors(document: Path) -> list[str]:
    """The headings of a document, as links name them."""
    headings = re.findall(r"^#+ (.*)$", document.read_text(), re.MULTILINE)
    return [re.sub(r"[^a-z0-9 _-]", "", head.lower()).replace(" ", "-") for head in headings]


def test_the_drawing_is_that_of_moromi_yml(checkout: Path) -> None:
    (drawn,) = re.findall(
        r"^```mermaid\n(.*?)\n```$", (checkout / "README.md").read_text(), re.MULTILINE | re.DOTALL
    )
    assert drawn == mermaid(read(checkout / "moromi.yml"))


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


def test_every_requirement_that_is_named_is_declared(checkout: Path) -> None:
    project = tomllib.loads((checkout / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    declared = {*project["dependencies"], *extras["client"], *(f".[{extra}]" for extra in extras)}
    texts = [*(checkout / "nagoya").rglob("*.py"), *(checkout / "docs").glob("*.md")]
    texts.append(checkout / "README.md")
    named = [
        requirement
        for path in texts
        for command in re.findall(r"pip install ([^\n(\"`]+)", path.read_text())
        for requirement in command.replace("'", "").split()
    ]
    assert len(named) > 2
    for requirement in named:
        assert requirement in declared or requirement in (
            "--editable", "pytest", "nagoya-*.whl", "rpm",
        ), requirement  # fmt: skip


def test_security_md_names_the_hubs_limits(checkout: Path) -> None:
    """That the hub keeps to them is tested in test_pressure.py."""
    settings = (checkout / "koji-hub/httpd.conf").read_text()
    limits = {
        name: re.findall(rf"^{name} (.*)$", settings, re.MULTILINE)
        for name in ("RequestReadTimeout", "QS_SrvMaxConnPerIP", "MaxRequestWorkers")
    }
    assert limits == {
        "RequestReadTimeout": ["handshake=10 header=10-20,MinRate=500 body=30-300,MinRate=1000"],
        "QS_SrvMaxConnPerIP": ["1792"],
        "MaxRequestWorkers": ["2048"],
    }
    document = (checkout / "docs/security.md").read_text()
    for sentence in (
        "whose TLS handshake is not complete after 10 s. A request's header may take 10 s, and up "
        "to 20 s if it comes at 500 B/s; its body 30 s, and up to 300 s if it comes at 1 kB/s.",
        "at most 1,792 of the hub's 2,048 connections.",
    ):
        assert sentence in document
