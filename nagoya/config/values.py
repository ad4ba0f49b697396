"""The values of moromi.yml's keys: texts of a certain form, numbers in a range, and what is written
as one text but has parts, such as a port."""

import re
from collections.abc import Mapping
from ipaddress import ip_address
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
    """A port of a container, published on port `host` of an address of the engine's machine.

    Without `host` it is any free one; without `address` it is where toji's clients are, 127.0.0.1.
    """

    container: int
    host: int | None = None
    address: str | None = None

    def overlaps(self, other: "Port") -> bool:
        """Whether both would take the same port of an address."""
        first, second = (ip_address(port.address or "127.0.0.1") for port in (self, other))
        same = first == second or (
            first.version == second.version and (first.is_unspecified or second.is_unspecified)
        )
        return self.host is not None and self.host == other.host and same

    def __str__(self) -> str:
        """As in moromi.yml."""
        address = f"{bracketed(self.address)}:" if self.address else ""
        host = f"{self.host or ''}:" if self.host or address else ""
        return f"{address}{host}{self.container}"


def bracketed(address: str) -> str:
    """An IP address or a name, as it stands before a port."""
    return f"[{address}]" if ":" in address else address


class Volume(StrictModel):
    """A volume of the system's, called SYSTEM-NAME on the engine, mounted at an absolute path."""

    name: str
    path: str


class VolumesFrom(StrictModel):
    """The volumes of another container, read-write or read-only."""

    container: str
    mode: Literal["rw", "ro"] = "rw"


_PORT = re.compile(r"(?:(?:(?P<address>.+):)?(?P<host>[0-9]{0,9}):)?(?P<container>[0-9]{1,9})")


def _port(value: Any) -> Any:
    is_port = isinstance(value, int | str) and not isinstance(value, bool)
    match = _PORT.fullmatch(str(value)) if is_port else None
    if not match or (match["host"] == "" and not match["address"]):
        raise ValueError(
            f"{value!r} is not a port; write 443 (a free host port), '8443:443' or "
            "'0.0.0.0:8443:443'"
        )
    host, container = (int(match[name]) if match[name] else None for name in ("host", "container"))
    for number in (host, container):
        if number is not None and not 0 < number < 65536:
            raise ValueError(f"{number} is not a port (1 to 65535)")
    address = _address(match["address"]) if match["address"] else None
    return Port.model_construct(container=container, host=host, address=address)


def _address(text: str) -> str:
    """An IP address without its brackets."""
    inner = re.fullmatch(r"\[(.*:.*)\]", text)
    if not inner and ":" in text:
        raise ValueError(f"{text!r}: write an IPv6 address in brackets, such as [2001:db8::7]")
    try:
        # One with a zone, such as fe80::1%eth0, is none that the engine knows.
        return str(ip_address((inner[1] if inner else text).replace("%", " ")))
    except ValueError:
        raise ValueError(
            f"{text!r} is not an IP address, such as 192.0.2.7; 0.0.0.0 stands for all of the "
            "machine's, [::] for all of IPv6"
        ) from None


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
Device = Annotated[
    str,
    form(r"/dev(/(?!\.{1,2}(/|$))[\w.-]+)+", "the path of a device, such as /dev/fuse"),
]
# Docker sets only those that each container has for itself: `docker run --sysctl`.
SysctlName = Annotated[
    str,
    form(
        r"net(\.[\w/-]+)+|fs\.mqueue\.\w+|"
        r"kernel\.(msgmax|msgmnb|msgmni|sem|shmall|shmmax|shmmni|shm_rmid_forced)",
        "a kernel parameter of a container, such as net.ipv4.tcp_keepalive_time",
    ),
]
SysctlMapping = Annotated[dict[SysctlName, str], BeforeValidator(_texts)]
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
