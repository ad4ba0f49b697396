"""A bundle: one file with all that a builder needs which shares no volume with the hub.

It is JSON: the builder's name, key and certificate, the authority's certificate, the hub's URL.
make_bundle.py of koji-hub writes it, and koji-builder reads it.
"""

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from .environment import Environment

VERSION = 1
VARIABLE = "KOJI_BUILDER_BUNDLE"
# Where engines mount a secret of that name.
DEFAULT = Path("/run/secrets/koji-builder-bundle")


@dataclass(frozen=True)
class Bundle:
    """What a bundle says; the last three are PEM."""

    name: str
    hub: str
    key: str = field(repr=False)
    certificate: str
    authority: str

    def text(self) -> str:
        """The file, one line."""
        return json.dumps({"version": VERSION, **asdict(self)})

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a bundle. Raises ValueError if it is none that this image understands."""
        values = json.loads(text)
        if not isinstance(values, dict) or values.pop("version", None) != VERSION:
            raise ValueError(f"it is not a bundle of version {VERSION}")
        try:
            bundle = cls(**values)
            if not all(isinstance(value, str) for value in values.values()):
                raise ValueError("a value is not text")
            for pem in (bundle.certificate, bundle.authority):
                x509.load_pem_x509_certificate(pem.encode())
            serialization.load_pem_private_key(bundle.key.encode(), password=None)
        except TypeError as error:
            raise ValueError(f"it is incomplete: {error}") from error
        return bundle


def find(environment: Environment) -> Bundle | None:
    """The bundle that the environment names, or the one at its usual place; None without one."""
    named = environment.text(VARIABLE, "")
    path = Path(named) if named else DEFAULT
    if not named and not path.exists():
        return None
    if DEFAULT.parent not in Path(os.path.normpath(path)).parents:
        environment.wrong(VARIABLE, f"builds can read {path}; put it where the default is")
        return None
    try:
        return Bundle.parse(path.read_text())
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        environment.wrong(VARIABLE, f"{path} is no file of `toji builder bundle`: {why}")
        return None
