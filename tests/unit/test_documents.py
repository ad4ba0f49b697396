"""README.md and docs/: what they point at is there."""

import re
from pathlib import Path


def test_every_link_leads_somewhere(checkout: Path) -> None:
    documents = [checkout / "README.md", *(checkout / "docs").glob("*.md")]
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
