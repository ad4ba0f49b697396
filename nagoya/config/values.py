"""The values of moromi.yml's keys: texts of a certain form, numbers in a range, and what is written
as one text but has parts, such as a port."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from nagoya.errors import did_you_mean


class StrictModel(BaseModel):
    """A frozen model without unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def form(pattern: str, words: str) -> AfterValidator:
    """A validator: the text matches a pattern, or "is not WORDS"."""

    def check(value: str) -> str:
        if not re.fullmatch(pattern, value, re.ASCII):
            raise ValueError(f"{value!r} is not {words}")
        return value

    return AfterValidator(check)


# Docker's rules for names of images and containers, narrowed to what a host name may hold.
ImageName = Annotated[
    str, form(r"(?=.{1,128}$)[a-z0-9]+([._/-][a-z0-9]+)*", "a name for an image, such as koji-hub")
]
ContainerName = Annotated[
    str, form(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", "a host name in lower case, such as koji")
]
Sha256 = Annotated[str, form(r"[0-9a-f]{64}", "a sha256, which has 64 digits of 0-9 and a-f")]
# It becomes a folder.
SourceName = Annotated[
    str, form(r"[A-Za-z0-9][\w.+-]{0,127}", "a name for a source, such as koji or python-multilib")
]
# Longer ones cannot be looked up.
PathText = Annotated[str, form(r"(?=(?s:.){1,1024}$)([^/]{0,255}/)*[^/]{0,255}", "a path")]
Variable = Annotated[str, form(r"[A-Za-z_][\w.-]*", "a name for a variable")]
CallbackName = Annotated[str, form(r"[A-Za-z_][\w.]*\.[A-Za-z_]\w*", "of the form MODULE.FUNCTION")]


class Port(StrictModel):
    """A port of a container, published on port `host` of 127.0.0.1; None means any free one."""

    container: int
    host: int | None = None


class Volume(StrictModel):
    """A volume of the system's, called SYSTEM-NAME on the engine, mounted at an absolute path."""

    name: str
    path: str


class VolumesFrom(StrictModel):
    """The volumes of another container, read-write or read-only."""

    container: str
    mode: Literal["rw", "ro"] = "rw"


def _port(value: Any) -> Any:
    if isinstance(value, str) and re.fullmatch(r"[\w.\[\]:]+:\d*:\d+", value):
        raise ValueError(
            f"{value!r} names an address; ports are published on 127.0.0.1 only: "
            "write 443 (a free host port) or '8443:443'"
        )
    is_port = isinstance(value, int | str) and not isinstance(value, bool)
    match = re.fullmatch(r"(?:([0-9]{1,9}):)?([0-9]{1,9})", str(value)) if is_port else None
    if not match:
        raise ValueError(f"{value!r} is not a port; write 443 (a free host port) or '8443:443'")
    host, container = (int(text) if text else None for text in match.groups())
    for number in (host, container):
        if number is not None and not 0 < number < 65536:
            raise ValueError(f"{number} is not a port (1 to 65535)")
    return Port.model_construct(container=container, host=host)


def _split(pattern: str, words: str) -> BeforeValidator:
    """A validator: the text is split into the named groups of a pattern, or "is not WORDS"."""

    def split(value: Any) -> Any:
        match = re.fullmatch(pattern, value, re.ASCII) if isinstance(value, str) else None
        if not match:
            raise ValueError(f"{value!r} is not {words}")
        return {name: part for name, part in match.groupdict().items() if part}

    return BeforeValidator(split)


def _texts(value: Any) -> Any:
    """Turn numbers into text: YAML reads `KEY: 1` as a number."""
    if isinstance(value, Mapping):
        return {
            key: str(item) if isinstance(item, int | float) and not isinstance(item, bool) else item
            for key, item in value.items()
        }
    return value


EnvironmentMapping = Annotated[dict[Variable, str], BeforeValidator(_texts)]
VolumeText = Annotated[
    Volume,
    _split(
        r"(?P<name>[a-z0-9][a-z0-9-]{0,62}):(?P<path>(/(?!\.{1,2}(/|$))[^:/\s]+)+)/?",
        "NAME:/PATH, such as kojicreds:/etc/pki/koji",
    ),
]
VolumesFromText = Annotated[
    VolumesFrom,
    _split(
        r"(?P<container>[a-z0-9-]+)(?::(?P<mode>rw|ro))?", "CONTAINER, CONTAINER:ro or CONTAINER:rw"
    ),
]
# As in capabilities(7), each at the place of its number in <linux/capability.h>.
CAPABILITIES = (
    "CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID",
    "SETPCAP", "LINUX_IMMUTABLE", "NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN", "NET_RAW",
    "IPC_LOCK", "IPC_OWNER", "SYS_MODULE", "SYS_RAWIO", "SYS_CHROOT", "SYS_PTRACE", "SYS_PACCT",
    "SYS_ADMIN", "SYS_BOOT", "SYS_NICE", "SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "MKNOD",
    "LEASE", "AUDIT_WRITE", "AUDIT_CONTROL", "SETFCAP", "MAC_OVERRIDE", "MAC_ADMIN", "SYSLOG",
    "WAKE_ALARM", "BLOCK_SUSPEND", "AUDIT_READ", "PERFMON", "BPF", "CHECKPOINT_RESTORE",
)  # fmt: skip


def _capability(value: str) -> str:
    known = ("ALL", *CAPABILITIES)
    if value.removeprefix("CAP_") not in known:
        raise ValueError(f"{value!r} is not a capability{did_you_mean(value.upper(), known)}")
    return value


Capability = Annotated[str, AfterValidator(_capability)]
SecurityOption = Annotated[
    str,
    form(
        r"no-new-privileges([:=](true|false))?|(seccomp|apparmor|label)[:=].+",
        "an option of Docker's, such as no-new-privileges or apparmor=unconfined",
    ),
]
RestartPolicy = Annotated[
    str,
    form(
        r"no|always|unless-stopped|on-failure(:[1-9][0-9]{0,3})?",
        'one of Docker\'s: "no", always, unless-stopped, on-failure or on-failure:N',
    ),
]
MemorySize = Annotated[str, form(r"[1-9][0-9]{0,15}[bkmg]?", "a size, such as 512m or 4g")]
Timeout = Annotated[int, Field(ge=1, le=7 * 86400)]
PortText = Annotated[Port, BeforeValidator(_port)]
