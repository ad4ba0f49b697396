"""Images made by way of an archive: what `docker save` tells, told otherwise, for `docker load`.

A commit takes a container's own labels, environment and command along, and nothing takes them out
again; and of the engine's ways to put files into an image this alone keeps all their extended
attributes. docs/principles.md says more.
"""

import hashlib
import io
import json
import posixpath
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import IO, Any, Self

from nagoya.errors import EngineError

_KEPT = ("architecture", "os", "os.version", "os.features", "variant")
_CHUNK = 1 << 20


@dataclass(frozen=True)
class Layer:
    """A layer of an image: a tar file, and the digest that an image knows it by."""

    file: IO[bytes]
    diff_id: str

    @classmethod
    def of(cls, file: IO[bytes]) -> Self:
        """The layer that a tar file is."""
        whole = hashlib.sha256()
        file.seek(0)
        while chunk := file.read(_CHUNK):
            whole.update(chunk)
        return cls(file, f"sha256:{whole.hexdigest()}")


@dataclass(frozen=True)
class Remade:
    """An image to be made of one in the archive, which is found by its layers.

    `config` is what containers of it begin with. `comment` is told by the last step of its history,
    which may add a layer.
    """

    name: str
    layers: tuple[str, ...]
    config: Mapping[str, Any]
    comment: str
    layer: Layer | None = None


def rewrite(archive: IO[bytes], images: Sequence[Remade], output: IO[bytes], created: str) -> None:
    """Write an archive of images that are made of those in another one.

    Raises EngineError where that lacks one. `created` is a moment as in RFC 3339.
    """
    with (
        tarfile.open(fileobj=archive) as saved,
        tarfile.open(fileobj=output, mode="w", format=tarfile.PAX_FORMAT) as made,
    ):
        found = {}
        for entry in json.loads(_content(saved, "manifest.json")):
            config = json.loads(_content(saved, entry["Config"]))
            found[tuple(config["rootfs"]["diff_ids"])] = (config, entry["Layers"])
        written: set[str] = set()
        manifest = []
        for image in images:
            if image.layers not in found:
                raise EngineError(f"what the engine saved for {image.name} has other layers")
            config, paths = found[image.layers]
            for diff_id, path in zip(image.layers, paths, strict=True):
                if diff_id not in written:
                    member = _regular(saved, path)
                    _add(made, _file_of(diff_id), saved.extractfile(member), member.size)
                written.add(diff_id)
            layers = list(image.layers)
            if image.layer is not None:
                layers.append(image.layer.diff_id)
                if layers[-1] not in written:
                    size = image.layer.file.seek(0, io.SEEK_END)
                    image.layer.file.seek(0)
                    _add(made, _file_of(layers[-1]), image.layer.file, size)
                written.add(layers[-1])
            remade = json.dumps(_config(config, image, layers, created)).encode()
            name = f"{hashlib.sha256(remade).hexdigest()}.json"
            _add(made, name, io.BytesIO(remade), len(remade))
            manifest.append(
                {
                    "Config": name,
                    "RepoTags": [f"{image.name}:latest"],
                    "Layers": [_file_of(diff_id) for diff_id in layers],
                }
            )
        told = json.dumps(manifest).encode()
        _add(made, "manifest.json", io.BytesIO(told), len(told))


def _config(
    old: Mapping[str, Any], image: Remade, layers: Sequence[str], created: str
) -> dict[str, Any]:
    """An image's description. Of the old one it has what is not about a container."""
    step: dict[str, Any] = {"created": created, "created_by": "moromi", "comment": image.comment}
    if image.layer is None:
        step["empty_layer"] = True
    return {
        **{key: old[key] for key in _KEPT if key in old},
        "created": created,
        "config": dict(image.config),
        "rootfs": {"type": "layers", "diff_ids": list(layers)},
        "history": [*old.get("history", ()), step],
    }


def _file_of(diff_id: str) -> str:
    return f"{diff_id.removeprefix('sha256:')}.tar"


def _content(archive: tarfile.TarFile, path: str) -> bytes:
    file = archive.extractfile(_regular(archive, path))
    assert file is not None
    return file.read()


def _regular(archive: tarfile.TarFile, path: str) -> tarfile.TarInfo:
    """A file of the archive; one layer of several images stands there once, with links to it."""
    member = archive.getmember(path)
    while member.issym():
        path = posixpath.normpath(posixpath.join(posixpath.dirname(path), member.linkname))
        member = archive.getmember(path)
    return member


def _add(archive: tarfile.TarFile, name: str, content: IO[bytes] | None, size: int) -> None:
    member = tarfile.TarInfo(name)
    member.size = size
    archive.addfile(member, content)
