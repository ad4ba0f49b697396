"""Wrong input of every kind in moromi.yml is refused in plain words, never with a traceback."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nagoya.config import loader, model
from nagoya.config.yaml_file import MAX_BYTES, read_documents
from nagoya.errors import DeclarationError

SHA = "a" * 64
LONG = "x" * 5000

CONTAINER = [
    # (keys of a container, what the message names, a part of the message)
    ("image: 3", "image", "should be text, is 3; put it in quotes"),
    ("image: null", "image", "should be text, is empty"),
    ("image: [hub]", "image", "should be text"),
    ('image: ""', "image", "'' is not a name for an image"),
    ("image: Hub", "image", "'Hub' is not a name for an image"),
    ("image: hub:latest", "image", "is not a name for an image"),
    ("image: ../hub", "image", "is not a name for an image"),
    ("image: hub/", "image", "is not a name for an image"),
    ('image: "hub\\n"', "image", "is not a name for an image"),
    ("image: húb", "image", "is not a name for an image"),
    (f"image: {LONG}", "image", "is not a name for an image"),
    ("command: sleep 3", "command", "should be a list, is 'sleep 3'"),
    ("command: {a: b}", "command", "should be a list"),
    ("command: [[a]]", "command[0]", "should be text"),
    ("command: [null]", "command[0]", "should be text, is empty"),
    ("command: [yes]", "command[0]", "should be text, is True; put it in quotes"),
    ("detach: 2", "detach", "should be true or false, is 2"),
    ("detach: null", "detach", "should be true or false, is empty"),
    ("detach: []", "detach", "should be true or false"),
    ("run_once: maybe", "run_once", "should be true or false"),
    ("environment: [A=b]", "environment", "should be a mapping of keys"),
    ("environment: {A: null}", "environment.A", "should be text, is empty"),
    ("environment: {A: [b]}", "environment.A", "should be text"),
    ("environment: {A: {b: c}}", "environment.A", "should be text"),
    ("environment: {A B: c}", "environment.A B", "'A B' is not a name for a variable"),
    ('environment: {"": c}', "environment.", "'' is not a name for a variable"),
    ('environment: {"A\\n": c}', "environment", "is not a name for a variable"),
    ("environment: {1A: c}", "environment.1A", "'1A' is not a name for a variable"),
    ("environment: {1: c}", "environment[1]", "should be text, is 1; put it in quotes"),
    ("ports: 443", "ports", "should be a list, is 443"),
    ("ports: {443: 443}", "ports", "should be a list"),
    ("ports: [-1]", "ports[0]", "-1 is not a port"),
    ("ports: [65536]", "ports[0]", "65536 is not a port (1 to 65535)"),
    ('ports: ["0:443"]', "ports[0]", "0 is not a port"),
    ('ports: ["443:0"]', "ports[0]", "0 is not a port"),
    ("ports: [443.5]", "ports[0]", "443.5 is not a port"),
    ("ports: [.nan]", "line 4", "put quotes around .nan"),
    ("ports: [https]", "ports[0]", "'https' is not a port"),
    ("ports: [443/udp]", "ports[0]", "'443/udp' is not a port"),
    ('ports: [" 443"]', "ports[0]", "' 443' is not a port"),
    ('ports: ["4\uff143"]', "ports[0]", "is not a port"),
    ('ports: ["1:2:3"]', "ports[0]", "'1' is not an IP address"),
    ('ports: ["koji.example.com:8443:443"]', "ports[0]", "is not an IP address"),
    ('ports: ["[192.0.2.7]:8443:443"]', "ports[0]", "is not an IP address"),
    ('ports: ["[fe80::1%eth0]:8443:443"]', "ports[0]", "is not an IP address"),
    ('ports: ["0.0.0.0:443"]', "ports[0]", "is not a port"),
    ('ports: [":443"]', "ports[0]", "is not a port"),
    (f'ports: ["{"4" * 5000}"]', "ports[0]", "is not a port"),
    ("ports: [null]", "ports[0]", "None is not a port"),
    ("volumes: {data: /data}", "volumes", "should be a list"),
    ('volumes: ["data:relative"]', "volumes[0]", "is not NAME:/PATH"),
    ('volumes: ["data:/"]', "volumes[0]", "is not NAME:/PATH"),
    ('volumes: ["data:/../etc"]', "volumes[0]", "is not NAME:/PATH"),
    ('volumes: ["data:/a/./b"]', "volumes[0]", "is not NAME:/PATH"),
    ('volumes: ["data:/a//b"]', "volumes[0]", "is not NAME:/PATH"),
    ('volumes: ["data:/a:ro"]', "volumes[0]", "is not NAME:/PATH"),
    ('volumes: ["../data:/a"]', "volumes[0]", "is not NAME:/PATH"),
    ('volumes: ["/etc:/a"]', "volumes[0]", "is not NAME:/PATH"),
    ("volumes: [3]", "volumes[0]", "3 is not NAME:/PATH"),
    ("volumes_from: data", "volumes_from", "should be a list"),
    ("volumes_from: [3]", "volumes_from[0]", "3 is not CONTAINER"),
    ('volumes_from: ["data:"]', "volumes_from[0]", "is not CONTAINER"),
    ('volumes_from: ["data:RO"]', "volumes_from[0]", "is not CONTAINER"),
    ("links: {data: data}", "links", "should be a list"),
    ("links: [3]", "links[0]", "should be text, is 3"),
    ("links: [DATA]", "links[0]", "'DATA' is not a host name in lower case"),
    ('links: ["data:alias"]', "links[0]", "is not a host name"),
    ("network_mode: bridge", "network_mode", "should be 'none', is 'bridge'"),
    ("network_mode: 3", "network_mode", "should be 'none', is 3"),
    ("cap_add: SYS_ADMIN", "cap_add", "should be a list"),
    ("cap_add: [SYS_ADMINN]", "cap_add[0]", "did you mean 'SYS_ADMIN'?"),
    ("cap_add: [sys_admin]", "cap_add[0]", "did you mean 'SYS_ADMIN'?"),
    ("cap_drop: [EVERYTHING]", "cap_drop[0]", "'EVERYTHING' is not a capability"),
    ('cap_drop: [""]', "cap_drop[0]", "'' is not a capability"),
    ("security_opt: [unconfined]", "security_opt[0]", "is not an option of Docker's"),
    ("security_opt: ['seccomp=']", "security_opt[0]", "is not an option of Docker's"),
    ("security_opt: [privileged]", "security_opt[0]", "is not an option of Docker's"),
    ("devices: /dev/fuse", "devices", "should be a list"),
    ("devices: [fuse]", "devices[0]", "is not the path of a device"),
    ("devices: [/dev/../etc/shadow]", "devices[0]", "is not the path of a device"),
    ("sysctls: [net.core.somaxconn=1]", "sysctls", "should be a"),
    ("sysctls: {vm.swappiness: 1}", "sysctls.vm.swappiness", "not a kernel parameter of a cont"),
    ("sysctls: {net..a: 1}", "sysctls.net..a", "is not a kernel parameter of a container"),
    ("sysctls: {net.ipv4.ip_forward: yes}", "sysctls.net.ipv4.ip_forward", "should be text"),
    ("devices: ['/dev/fuse:/dev/fuse:rwm']", "devices[0]", "is not the path of a device"),
    ("stop_timeout: -1", "stop_timeout", "should be at least 1, is -1"),
    ("stop_timeout: 3601", "stop_timeout", "should be at most 3600"),
    ("stop_timeout: .inf", "line 4", "put quotes around .inf"),
    ("stop_timeout: .nan", "line 4", "put quotes around .nan"),
    ("stop_timeout: 1.5", "stop_timeout", "should be a whole number, is 1.5"),
    ("stop_timeout: 5s", "stop_timeout", "should be a whole number, is '5s'"),
    ("stop_timeout: null", "stop_timeout", "should be a whole number, is empty"),
    ("detach: false, timeout: 0", "timeout", "should be at least 1"),
    ("detach: false, timeout: 604801", "timeout", "should be at most 604800"),
    ("callbacks: [os.getcwd]", "callbacks", "should be a mapping of keys"),
    ("callbacks: {post_start: os.getcwd}", "callbacks.post_start", "should be a list"),
    ("callbacks: {post_start: [os]}", "callbacks.post_start[0]", "MODULE.FUNCTION"),
    ("callbacks: {post_start: [../x.f]}", "callbacks.post_start[0]", "MODULE.FUNCTION"),
    ("callbacks: {post_start: [nowhere.f]}", "callbacks.post_start[0]", "nowhere"),
    ("callbacks: {post_start: [json.nothing]}", "post_start[0]", "has no function 'nothing'"),
    ("mem_limitt: 1g", "mem_limitt", "unknown key"),
    ("privileged: true", "privileged", "unknown key"),
    ("<<: 3", "line 4", "expected a mapping or list of mappings for merging"),
]  # fmt: skip

FILE = [
    # (a whole file, what the message names, a part of the message)
    ("base: 3", "base", "should be a mapping of keys, is 3"),
    ("base: {image: a:b}", "base", "needs 'suite'"),
    ("base: {suite: trixie}", "base", "needs 'image'"),
    ("base: {image: ':::x', suite: trixie}", "base.image", "is not of the form NAME:TAG"),
    ("base: {image: 'a:', suite: trixie}", "base.image", "is not of the form NAME:TAG"),
    ("base: {image: 'a:b', suite: ../x}", "base.suite", "is not a Debian release"),
    ("base: {image: 'a:b', suite: '-x'}", "base.suite", "is not a Debian release"),
    ("tag: 3", "tag", "should be text, is 3"),
    ("tag: ''", "tag", "is not a tag for images"),
    ("tag: a b", "tag", "is not a tag for images"),
    ("tag: -x", "tag", "is not a tag for images"),
    (f"tag: {'x' * 129}", "tag", "is not a tag for images"),
    ("sources: [koji]", "sources", "should be a mapping of keys"),
    ("sources: {koji: koji==1}", "sources.koji", "should be a mapping of keys"),
    ("sources: {'..': {path: x}}", "sources...", "'..' is not a name for a source"),
    ("sources: {'.': {path: x}}", "sources..", "'.' is not a name for a source"),
    ("sources: {'../../x': {path: x}}", "sources.../../x", "is not a name for a source"),
    ("sources: {/etc: {path: x}}", "sources./etc", "is not a name for a source"),
    ("sources: {a/b: {path: x}}", "sources.a/b", "is not a name for a source"),
    ("sources: {.git: {path: x}}", "sources..git", "is not a name for a source"),
    ("sources: {-rf: {path: x}}", "sources.-rf", "is not a name for a source"),
    ("sources: {'': {path: x}}", "sources.", "is not a name for a source"),
    ("sources: {3: {path: x}}", "sources[3]", "should be text"),
    (f"sources: {{? {LONG}\n : {{path: x}}}}", "sources.x", "is not a name for a source"),
    ("sources: {a: {pypi: 3}}", "sources.a.pypi", "should be text, is 3"),
    ("sources: {a: {pypi: 'koji>=1'}}", "sources.a.pypi", "is not of the form NAME==VERSION"),
    ("sources: {a: {pypi: '--index-url=x==1'}}", "sources.a.pypi", "NAME==VERSION"),
    (f"sources: {{a: {{url: 'ftp://x/y', sha256: {SHA}}}}}", "sources.a.url", "https URL"),
    (f"sources: {{a: {{url: 'https://', sha256: {SHA}}}}}", "sources.a.url", "https URL"),
    (f"sources: {{a: {{url: 'https:///x', sha256: {SHA}}}}}", "sources.a.url", "https URL"),
    (f"sources: {{a: {{url: 'https://[', sha256: {SHA}}}}}", "sources.a.url", "https URL"),
    (f"sources: {{a: {{url: 'https://x y', sha256: {SHA}}}}}", "sources.a.url", "https URL"),
    ("sources: {a: {url: 'https://x/y'}}", "sources.a", "needs 'sha256'"),
    (f"sources: {{a: {{pypi: a==1, sha256: {SHA.upper()}}}}}", "sources.a.sha256", "64 digits"),
    (f"sources: {{a: {{pypi: a==1, sha256: {SHA}0}}}}", "sources.a.sha256", "64 digits"),
    ("sources: {a: {path: 3}}", "sources.a.path", "should be text, is 3"),
    ("sources: {a: {path: /dev/null}}", "sources.a.path", "not a folder: /dev/null"),
    (f"sources: {{a: {{path: {LONG}}}}}", "sources.a.path", "is not a path"),
    ("images: [hub]", "images", "should be a mapping of keys"),
    ("images: {hub: 3}", "images.hub", "should be a mapping of keys"),
    ("images: {hub: {folder: 3}}", "images.hub.folder", "should be text"),
    ("images: {hub: {folder: ''}}", "images.hub.folder", "'' is not a path"),
    ("images: {hub: {folder: /dev/null}}", "images.hub", "has no Dockerfile"),
    (f"images: {{hub: {{folder: {LONG}}}}}", "images.hub.folder", "is not a path"),
    ("images: {hub: {folder: hub, system: {commit: {koji: x}}}}", "images.hub", "keep one"),
    ("images: {hub: {system: {}}}", "images.hub.system", "makes no image"),
    ("images: {hub: {system: {commit: [a]}}}", "images.hub.system.commit", "a mapping of keys"),
    ("images: {hub: {system: {commit: {koji: X}}}}", "system.commit.koji", "name for an image"),
    ("images: {hub: {system: {commit: {gone: x}}}}", "system.commit.gone", "unknown container"),
    ("images: {hub: {system: {persist: {koji: hub}, seed: s}}}", "seed", "no such file: s"),
    ("images: {hub: {system: {commit: {koji: x}, seed: /dev/zero}}}", "seed", "no such file"),
    ("images: {hub: {system: {commit: {koji: x}, containers: x}}}", "containers", "no such file"),
    ("images: {hub: {system: {commit: {koji: x}, secrets: 3}}}", "secrets", "true or false"),
    ("images: {hub: {system: {commit: {koji: x}, root: {image: hub}}}}", "root", "'entrypoint'"),
    (
        "images: {hub: {system: {commit: {koji: x}, root: {image: hub, entrypoint: []}}}}",
        "root.entrypoint",
        "should not be empty",
    ),
    ("containers: [koji]", "containers", "should be a mapping of keys"),
    ("containers: {koji: null}", "containers.koji", "is empty"),
    ("containers: {-x: {image: hub}}", "containers.-x", "is not a host name"),
    ("containers: {a_b: {image: hub}}", "containers.a_b", "is not a host name"),
    (f"containers: {{{'x' * 64}: {{image: hub}}}}", "containers.x", "is not a host name"),
    ("extends: 3", "extends", "should be 'nagoya' or the path of a file, is 3"),
    ("extends: null", "extends", "should be 'nagoya' or the path of a file"),
    ("extends: [nagoya]", "extends", "should be 'nagoya' or the path of a file"),
    ("extends: nagoia", "extends", "did you mean 'nagoya'?"),
    ("extends: /etc", "/etc", "is a folder, not a file"),
    ("extends: /dev/zero", "/dev/zero", "is not a regular file"),
    ("extends: /dev/null", "/dev/null", "is not a regular file"),
    ("extends: moromi.yml", "extends", "circular dependency"),
    ('extends: ""', "folder", "is a folder, not a file"),
    (f"extends: {LONG}", "extends", "no such file"),
    ("true: 3", "the key True", "should be text"),
    ("3: 3", "[3]", "should be text"),
    ("? [a]\n: 3", "line", "unhashable key"),
    ("? {a: b}\n: 3", "line", "unhashable key"),
]  # fmt: skip

TEXT = [
    # (a text that YAML would misread or that is not YAML, a part of the message)
    ("a: 0755", "put quotes around 0755: YAML reads it as the number 493"),
    ("a: 0x1F", "put quotes around 0x1F: YAML reads it as the number 31"),
    ("a: 0b11", "put quotes around 0b11: YAML reads it as the number 3"),
    ("a: 1_000", "put quotes around 1_000: YAML reads it as the number 1000"),
    ("a: +1", "put quotes around +1: YAML reads it as the number 1"),
    ("a: 1.10", "put quotes around 1.10: YAML reads it as the number 1.1"),
    ("a: 1:30.5", "put quotes around 1:30.5: YAML reads it as the number 90.5"),
    (f"a: {'1' * 5000}", "cannot be read as int"),
    ("a: 2020-13-01", "2020-13-01 cannot be read as timestamp"),
    ("a: !!int x", "x cannot be read as int"),
    ('a: !!int ""', " cannot be read as int"),
    ('a: !!float ""', " cannot be read as float"),
    ("a: !!set x", "expected a mapping node, but found scalar"),
    ("a: !!map [x]", "expected a mapping node, but found sequence"),
    ("a: !!bool perhaps", "perhaps cannot be read as bool"),
    ("a: !!timestamp x", "x cannot be read as timestamp"),
    ("a: !!float x", "x cannot be read as float"),
    ('a: "\\0"', "the text contains a NUL or half a surrogate pair"),
    ('"\\0": a', "the text contains a NUL or half a surrogate pair"),
    ('a: "\\ud800"', "the text contains a NUL or half a surrogate pair"),
    ("a: \0", "special characters are not allowed"),
    ("a: b\n---\nc: d", "line 3: a second document; keep one"),
    ("a: *b", "found undefined alias"),
    ("a: &a [*a]", "more than 100000 values"),
    ("a: &a {b: *a}", "more than 100000 values"),
    ("a: 'b", "found unexpected end of stream"),
    ("a: b: c", "mapping values are not allowed here"),
    ("\ta: b", "cannot start any token"),
    ("a: @b", "cannot start any token"),
    ("%YAML 9.9\n---\na: b", "found incompatible YAML document"),
    ("a: !unknown b", "could not determine a constructor"),
    ("a: {b: c, b: d}", "duplicate key 'b'"),
    ("a: !!set {b, b}", "duplicate key 'b'"),
    ("{" * 3000, "the file is nested too deeply"),
    ("- " * 3000, "the file is nested too deeply"),
    ("just words", "should be a mapping of keys, is a str"),
    ("3", "should be a mapping of keys, is a int"),
    ("null", "the file is empty"),
    ("---\n", "the file is empty"),
]  # fmt: skip


@pytest.fixture
def folder(tree: Callable[..., Path]) -> Path:
    return tree({"hub/Dockerfile": "FROM scratch", "data/Dockerfile": "FROM scratch"})


def refusal(folder: Path, text: str) -> str:
    (folder / "moromi.yml").write_text(text)
    with pytest.raises(DeclarationError) as raised:
        loader.read(folder / "moromi.yml")
    return raised.value.message


def sound(**sections: str) -> str:
    """A moromi.yml of sections, sound ones standing in for those that are left out."""
    default = {
        "base": '{image: "debian:trixie-slim", suite: trixie}',
        "images": "{hub: {}, data: {}}",
        "containers": "{koji: {image: hub}, data: {image: data}}",
    }
    return "\n".join(f"{name}: {value}" for name, value in {**default, **sections}.items())


@pytest.mark.parametrize(("keys", "where", "words"), CONTAINER)
def test_a_container(folder: Path, keys: str, where: str, words: str) -> None:
    image = "" if keys.startswith("image") else "image: hub, "
    containers = f"\n  koji: {{{image}{keys}}}\n  data: {{image: data}}"
    message = refusal(folder, sound(containers=containers))
    assert words in message
    assert where in message


@pytest.mark.parametrize(("text", "where", "words"), FILE)
def test_a_section(folder: Path, text: str, where: str, words: str) -> None:
    section, _, value = text.partition(": ")
    whole = sound(**{section: value}) if section.isidentifier() else f"{sound()}\n{text}"
    message = refusal(folder, whole)
    assert words in message
    assert where in message


@pytest.mark.parametrize(("text", "words"), TEXT)
def test_a_text(folder: Path, text: str, words: str) -> None:
    message = refusal(folder, text)
    assert words in message


def test_aliases_that_multiply_a_file(folder: Path) -> None:
    levels = [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 10)]
    assert "values" in refusal(folder, "\n".join(["a0: &a0 [x, x]", *levels]))


def test_an_alias_may_repeat_a_part(folder: Path) -> None:
    (folder / "moromi.yml").write_text(
        sound(containers="{koji: &koji {image: hub}, data: {image: data}, other: *koji}")
    )
    assert loader.read(folder / "moromi.yml").containers["other"].image == "hub"


def test_a_part_may_be_merged_into_others(folder: Path) -> None:
    own = "koji: &koji {image: hub, stop_timeout: 5}, other: {<<: *koji, stop_timeout: 6}"
    (folder / "moromi.yml").write_text(sound(containers=f"{{{own}, data: {{image: data}}}}"))
    other = loader.read(folder / "moromi.yml").containers["other"]
    assert (other.image, other.stop_timeout) == ("hub", 6)


def test_a_file_that_is_too_large(folder: Path) -> None:
    assert "is larger than 1024 KiB" in refusal(folder, "#" * (MAX_BYTES + 1))


def test_a_pipe_that_nobody_writes_to(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "moromi.yml")
    with pytest.raises(DeclarationError, match="is not a regular file"):
        loader.read(tmp_path / "moromi.yml")


def test_only_the_first_of_many_problems_are_shown(folder: Path) -> None:
    message = refusal(folder, sound() + "\n" + "\n".join(f"key{n}: 1" for n in range(1000)))
    assert "key0: unknown key" in message
    assert message.endswith("  and 980 more")


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.dates()
    | st.sampled_from(["koji", "hub", "koji:ro", "443", "..", "/", "{port:443}", "a.b"]),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(st.text(max_size=8) | st.integers(), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip
models = {
    "": model.MoromiFile,
    "sources.koji": model.Source,
    "images.hub": model.Image,
    "images.hub.system": model.SystemImages,
    "containers.koji": model.Container,
}
places = ["extends"]
places += [
    f"{parent}.{key}".strip(".") for parent, keys in models.items() for key in keys.model_fields
]


@settings(
    max_examples=300,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(changes=st.dictionaries(st.sampled_from(places), values, min_size=1, max_size=3))
def test_any_values_are_read_or_refused(folder: Path, changes: dict[str, Any]) -> None:
    whole: dict[Any, Any] = yaml.safe_load(sound())
    for place, value in changes.items():
        *parents, last = place.split(".")
        part = whole
        for parent in parents:
            below = part.get(parent)
            part[parent] = part = below if isinstance(below, dict) else {}
        part[last] = value
    (folder / "moromi.yml").write_text(yaml.dump(whole))
    try:
        loader.read(folder / "moromi.yml")
    except DeclarationError as error:
        assert error.problems


@settings(
    max_examples=300,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    content=st.binary(max_size=300) | st.text(alphabet="&*{}[]:,-?|>'\"!%@# \nab0~<", max_size=60)
)
def test_any_text_is_read_or_refused(folder: Path, content: bytes | str) -> None:
    file = folder / "any.yml"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    try:
        read_documents(file)
    except DeclarationError as error:
        assert error.problems
