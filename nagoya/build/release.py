"""A release: the images of a moromi.yml in a registry, and one more image that lists their digests.

That image is REGISTRY/moromi:TAG, with the tag of moromi.yml. Its own digest pins all of them. Its
files describe how they were made and what is in them; see provenance.py.
"""

import io
import json
import re
import tarfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from nagoya.engine import Engine, image_builds, images, registry
from nagoya.errors import EngineError, UsageError
from nagoya.utils.progress import Progress

LABEL = "nagoya.release"
"""On the image of a release: the digest of each image by its name, as a JSON object."""

_NAME = "moromi"
_ADDRESS = re.compile(
    r"(?P<registry>[a-zA-Z0-9]([a-zA-Z0-9.-]*[a-zA-Z0-9])?(:\d{1,5})?(/[a-z0-9]+([._-]+[a-z0-9]+)*)*?)"
    rf"(/{_NAME}@(?P<digest>sha256:[0-9a-f]{{64}}))?"
)


@dataclass(frozen=True)
class Address:
    """Where a release is: a registry, with the first part of the names in it if they have one, and
    the release's image, by its tag or its digest."""

    registry: str
    image: str

    @classmethod
    def parse(cls, text: str, tag: str) -> "Address":
        """Read `registry.example.com/koji`, or `registry.example.com/koji/moromi@sha256:…`."""
        match = _ADDRESS.fullmatch(text)
        if match is None:
            raise UsageError(
                f"'{text}' is not the address of a registry",
                "it is like registry.example.com/koji, or a release in it: "
                f"registry.example.com/koji/{_NAME}@sha256:…",
            )
        image, digest = f"{match['registry']}/{_NAME}", match["digest"]
        return cls(match["registry"], f"{image}@{digest}" if digest else f"{image}:{tag}")

    def repository(self, name: str) -> str:
        """Where an image is in the registry, without a tag."""
        path = images.repository_and_tag(name)[0]
        host, slash, rest = path.partition("/")
        # An image of another registry, which some image here is built from.
        return f"{self.registry}/{rest if slash and re.search('[.:]', host) else path}"

    def pinned(self, digest: str) -> str:
        """The release's image, by a digest."""
        return f"{images.repository_and_tag(self.image)[0]}@{digest}"


@dataclass(frozen=True)
class Release:
    """A release that was read: its image by digest, and each image's reference by its name."""

    pinned: str
    images: Mapping[str, str]

    def require(self, names: Iterable[str]) -> None:
        """Raise UsageError for an image that it does not have."""
        if missing := sorted(set(names) - set(self.images)):
            raise UsageError(
                f"{self.pinned} has no {', '.join(missing)}",
                f"it has {', '.join(self.images)}; `moromi pull REGISTRY IMAGE...` pulls some, and "
                "`moromi build` makes the rest",
            )


def read(engine: Engine, address: Address, progress: Progress) -> Release:
    """Pull the image of a release, a few kB, and read it. Raises EngineError if it is none."""
    registry.pull(engine, address.image, lambda line: progress.output(address.image, line))
    attributes = images.inspect(engine, address.image)
    text = (attributes["Config"]["Labels"] or {}).get(LABEL)
    if text is None:
        raise EngineError(f"{address.image} is no release: it was not made by `moromi push`")
    prefix = address.pinned("")
    pinned = next(digest for digest in attributes["RepoDigests"] if digest.startswith(prefix))
    listed = json.loads(text)
    references = {name: f"{address.repository(name)}@{digest}" for name, digest in listed.items()}
    return Release(pinned, references)


def write(
    engine: Engine, address: Address, digests: Mapping[str, str], files: Mapping[str, bytes]
) -> str:
    """Make the image of a release, of the same images the same, and push it; its digest."""
    labels = {LABEL: json.dumps(dict(sorted(digests.items())))}
    lines = image_builds.build(
        engine, address.image, iter([_context(files)]), "Dockerfile",
        labels=labels, arguments={}, no_cache=False,
    )  # fmt: skip
    for _ in lines:
        pass
    return registry.push(engine, address.image, lambda line: None)


def _context(files: Mapping[str, bytes]) -> bytes:
    # Nothing runs in it; a command is what `docker create` wants.
    dockerfile = b'FROM scratch\nCOPY release /\nCMD ["-"]\n'
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as archive:
        members = {f"release/{path}": content for path, content in sorted(files.items())}
        for path, content in {"Dockerfile": dockerfile, **members}.items():
            member = tarfile.TarInfo(path)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return data.getvalue()
