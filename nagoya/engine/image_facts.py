"""What an image says about its containers: health check, ports, volumes, labels."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

_SECOND = 10**9


@dataclass(frozen=True)
class ImageFacts:
    """From an image's configuration; times are in seconds.

    `health` is the command of its HEALTHCHECK, if it has one; `ports` are those that it exposes,
    `volumes` the paths of its VOLUMEs.
    """

    health: tuple[str, ...] = ()
    interval: int = 30
    timeout: int = 30
    retries: int = 3
    ports: tuple[int, ...] = ()
    volumes: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, config: Mapping[str, Any]) -> Self:
        """Read the `Config` of the engine's description of an image."""
        check = config.get("Healthcheck") or {}
        exposed = [re.fullmatch(r"(\d+)/tcp", port) for port in config.get("ExposedPorts") or {}]
        return cls(
            health=tuple(health_command(config) or ()),
            interval=(check.get("Interval") or 30 * _SECOND) // _SECOND,
            timeout=(check.get("Timeout") or 30 * _SECOND) // _SECOND,
            retries=check.get("Retries") or 3,
            ports=tuple(sorted(int(match[1]) for match in exposed if match)),
            volumes=tuple(sorted(config.get("Volumes") or {})),
            labels=config.get("Labels") or {},
        )


def health_command(config: Mapping[str, Any]) -> list[str] | None:
    """The command of the HEALTHCHECK in a `Config`, or None where it has none."""
    test = (config.get("Healthcheck") or {}).get("Test") or ["NONE"]
    match test[0]:
        case "CMD":
            return list(test[1:])
        case "CMD-SHELL":
            return ["/bin/sh", "-c", test[1]]
        case _:
            return None
