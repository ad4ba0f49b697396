"""moromi clean, and what moromi does about the base image."""

import io
import re

import pytest

from tests.moromi.conftest import BASE, Moromi


def exists(moromi: Moromi, image: str | None) -> bool:
    return any(entry["Id"] == image for entry in moromi.client.api.images(all=True))


def rebuilt(moromi: Moromi) -> str | None:
    """Build an image twice; the id of the first, which has lost its name."""
    moromi.declare(one=f"FROM {BASE}\nRUN head -c 3000000 /dev/zero >/{moromi.prefix}1\n")
    moromi("build")
    first = moromi.identity("one")
    moromi.declare(one=f"FROM {BASE}\nRUN echo >/{moromi.prefix}2\n")
    moromi("build")
    return first


def test_clean_removes_what_lost_its_name_and_says_how_much(moromi: Moromi) -> None:
    first = rebuilt(moromi)
    second = moromi.identity("one")
    listed = f"remove  X-one {str(first).removeprefix('sha256:')[:12]}, "
    for arguments, status in ((["--dry-run"], 0), ([], 64)):
        assert listed in moromi("clean", *arguments, status=status)[0]
        assert exists(moromi, first)
    out, _ = moromi("clean", "--yes")
    assert listed in out
    assert out.splitlines()[-1] == "1 image removed, 3.0 MB freed"
    assert not exists(moromi, first)
    assert moromi.identity("one") == second


def test_clean_leaves_another_checkouts_images(moromi: Moromi) -> None:
    """They have the same name, and lost it to each other."""
    first = rebuilt(moromi)
    other = Moromi(moromi.folder / "other", moromi.client, moromi.prefix)
    other.declare(one=f"FROM {BASE}\nRUN echo other >/{moromi.prefix}3\n")
    image = moromi.identity("one")
    other("build")
    assert other("clean", "--yes")[0] == "nothing to remove\n"
    assert exists(moromi, first)
    moromi("clean", "--yes")
    assert not exists(moromi, first)
    assert not exists(moromi, image)
    assert other.identity("one")


def test_clean_touches_nothing_of_anybody_elses(moromi: Moromi) -> None:
    moromi.declare(one=f"FROM {BASE}\nRUN echo {moromi.prefix} >/x\n")
    moromi("build")
    texts = (
        f"FROM {BASE}\nRUN echo {moromi.prefix} >/mine\n",
        f"FROM {moromi.name('one')}\nLABEL org.opencontainers.image.version=mine\n",
    )
    mine = [
        moromi.client.images.build(fileobj=io.BytesIO(text.encode()), rm=True)[0] for text in texts
    ]
    container = moromi.client.containers.create(moromi.name("one"))
    committed = container.commit()
    container.remove()
    try:
        moromi("clean", "--yes")
        for image in (*mine, committed):
            assert exists(moromi, image.id)
        assert moromi.identity("one")
    finally:
        for image in (*mine, committed):
            moromi.client.images.remove(image.id)


def test_clean_keeps_what_a_container_is_made_of(moromi: Moromi) -> None:
    moromi.declare(one=f"FROM {BASE}\nRUN echo {moromi.prefix} >/x\n")
    moromi("build")
    first = moromi.identity("one")
    container = moromi.client.containers.create(first, labels={"nagoya.system": "any"})
    try:
        moromi.declare(one=f"FROM {BASE}\n")
        moromi("build")
        out, _ = moromi("clean", "--yes")
        label = f"X-one {str(first).removeprefix('sha256:')[:12]}"
        name = container.name
        assert re.search(
            f"^keep    {label}, .* old: {name} .system 'any'. is made from it$", out, re.MULTILINE
        )
        assert exists(moromi, first)
    finally:
        container.remove()


def test_a_base_that_is_there_is_used(moromi: Moromi) -> None:
    before = moromi.client.images.get(BASE).id
    moromi.declare()
    _, err = moromi("base", PATH="/nonexistent")
    assert "present" in err
    assert moromi.client.images.get(BASE).id == before


def test_a_base_that_cannot_be_had(moromi: Moromi) -> None:
    """Nobody has an image of that name, no registry answers, and there is no mmdebstrap."""
    moromi.base = "127.0.0.1:9/nagoya-nobody-has-it:1"
    moromi.declare(one=f"FROM {moromi.base}\n", other=f"FROM {BASE}\n")
    _, err = moromi("base", PATH="/nonexistent", status=5)
    assert "127.0.0.1:9/nagoya-nobody-has-it:1 was not found in any registry" in err
    _, err = moromi("build", PATH="/nonexistent", status=6)
    assert "X-one: skipped because 127.0.0.1:9/nagoya-nobody-has-it:1 failed" in err
    assert moromi.identity("other")


@pytest.mark.parametrize("name", ["nagoya-nobody-has-it:1", "127.0.0.1:9/nobody:2"])
def test_a_foreign_parent_that_cannot_be_pulled(moromi: Moromi, name: str) -> None:
    moromi.declare(one=f"FROM {name}\n")
    _, err = moromi("build", status=6)
    assert f"pulling {name}" in err
