"""moromi.yml: what is read, and the messages for what is wrong."""

from collections.abc import Callable
from pathlib import Path

import pytest

from nagoya.config import loader
from nagoya.config.declaration import Declaration
from nagoya.config.model import Endpoint
from nagoya.config.values import Port, VolumesFrom
from nagoya.errors import DeclarationError

SOUND = {
    "base": '{image: "debian:bookworm-slim", suite: bookworm}',
    "images": "{hub: {}, data: {}}",
    "containers": "{koji: {image: hub}}",
}

Read = Callable[..., Declaration]


@pytest.fixture
def read(tree: Callable[..., Path]) -> Read:
    """Read a moromi.yml of these sections, the sound ones standing in for those not given."""

    def parse(text: str | None = None, **sections: str) -> Declaration:
        if text is None:
            contents = {**SOUND, **sections}
            text = "\n".join(f"{name}: {value}" for name, value in contents.items())
        folders = {"hub/Dockerfile": "FROM scratch", "data/Dockerfile": "FROM scratch"}
        return loader.read(tree({**folders, "moromi.yml": text}) / "moromi.yml")

    return parse


def problems(read: Read, *args: str, **sections: str) -> tuple[str, ...]:
    with pytest.raises(DeclarationError) as caught:
        read(*args, **sections)
    return caught.value.problems


def test_the_projects_own_is_sound(checkout: Path) -> None:
    declared = loader.read(checkout / "moromi.yml")
    assert declared.containers["koji"].needs == ("kojicreds", "kojitop", "kojidatabase")
    assert declared.source_dirs["koji"] == declared.contexts["koji-hub"] == checkout
    assert declared.dockerfile("koji-hub") == checkout / "koji-hub" / "Dockerfile"


def test_values_come_typed(read: Read) -> None:
    declared = read(
        containers="""
  koji:
    image: hub
    ports: [443, "8080:80"]
    volumes_from: [creds:ro, top]
    environment: {LEVEL: 3, RATIO: 0.5}
  creds: {image: data}
  top: {image: data}"""
    )
    koji = declared.containers["koji"]
    assert koji.ports == (Port(container=443), Port(container=80, host=8080))
    assert koji.volumes_from == (
        VolumesFrom(container="creds", mode="ro"),
        VolumesFrom(container="top", mode="rw"),
    )
    assert koji.environment == {"LEVEL": "3", "RATIO": "0.5"}


def container(**keys: str) -> dict[str, str]:
    inside = ", ".join(f"{key}: {value}" for key, value in {"image": "hub", **keys}.items())
    return {"containers": f"{{koji: {{{inside}}}}}"}


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"1": "2"}, "[1]: the key 1 should be text; put it in quotes"),
        ({"contaners": "{}"}, "contaners: unknown key; did you mean 'containers'?"),
        ({"containers": "3"}, "containers: should be a mapping of keys, is 3"),
        ({"containers": ""}, "containers: should be a mapping of keys, is empty"),
        ({"containers": "{koji: }"}, "containers.koji: should be a mapping of keys, is empty"),
        ({"containers": "{koji: {}}"}, "containers.koji: needs 'image'"),
        (
            {"containers": "{Koji: {image: hub}}"},
            "containers.Koji: 'Koji' is not a host name in lower case, such as koji",
        ),
        (
            {"containers": "{1: {image: hub}}"},
            "containers[1]: should be text, is 1; put it in quotes",
        ),
        ({"images": "{HUB: {}}"}, "images.HUB: 'HUB' is not a name for an image, such as koji-hub"),
        (
            {"images": "{hub: {folder: away}}"},
            "images.hub: the folder away/ has no Dockerfile",
        ),
        (
            container(image="hubb"),
            "containers.koji.image: unknown image 'hubb'; did you mean 'hub'?",
        ),
        (container(lnks="[x]"), "containers.koji.lnks: unknown key; did you mean 'links'?"),
        (container(links="x"), "containers.koji.links: should be a list, is 'x'"),
        (container(links="[x]"), "containers.koji.links[0]: unknown container 'x'"),
        (
            container(links="[kojii]"),
            "containers.koji.links[0]: unknown container 'kojii'; did you mean 'koji'?",
        ),
        (
            container(volumes_from="[x]"),
            "containers.koji.volumes_from[0]: unknown container 'x'",
        ),
        (
            container(volumes_from='["x:rx"]'),
            "containers.koji.volumes_from[0]: 'x:rx' is not CONTAINER, CONTAINER:ro or "
            "CONTAINER:rw",
        ),
        (container(links="[koji]"), "containers: circular dependency: koji => koji"),
        (
            {"containers": "{a: {image: hub, links: [b]}, b: {image: hub, volumes_from: [a]}}"},
            "containers: circular dependency: a => b => a",
        ),
        (
            container(network_mode="none", ports="[80]"),
            "containers.koji: 'ports' cannot be used with 'network_mode: none'",
        ),
        (
            container(network_mode="host"),
            "containers.koji.network_mode: should be 'none', is 'host'",
        ),
        (
            {
                "containers": "{a: {image: hub, network_mode: none}, "
                "b: {image: hub, volumes_from: [a], links: [a]}}"
            },
            "containers.b.links[0]: 'a' cannot be reached: it has 'network_mode: none'",
        ),
        (
            container(ports="[0]"),
            "containers.koji.ports[0]: 0 is not a port (1 to 65535)",
        ),
        (
            container(ports="[70000]"),
            "containers.koji.ports[0]: 70000 is not a port (1 to 65535)",
        ),
        (
            container(ports="[true]"),
            "containers.koji.ports[0]: True is not a port; "
            "write 443 (a free host port), '8443:443' or '0.0.0.0:8443:443'",
        ),
        (
            container(ports='["1:2", "1:3"]'),
            "containers.koji.ports[1]: host port 1 is already used by containers.koji.ports[0]",
        ),
        (
            {"containers": "{a: {image: hub, ports: ['1:2']}, b: {image: hub, ports: ['1:2']}}"},
            "containers.b.ports[0]: host port 1 is already used by containers.a.ports[0]",
        ),
        (
            container(ports='[443, "8443:443"]'),
            "containers.koji.ports[1]: port 443 is published twice",
        ),
        (
            container(ports='["localhost:18444:443"]'),
            "containers.koji.ports[0]: 'localhost' is not an IP address, such as 192.0.2.7; "
            "0.0.0.0 stands for all of the machine's, [::] for all of IPv6",
        ),
        (
            container(ports='["::1:443:443"]'),
            "containers.koji.ports[0]: '::1': write an IPv6 address in brackets, such as "
            "[2001:db8::7]",
        ),
        (
            container(ports='["192.0.2.7:443:443", "0.0.0.0:443:80"]'),
            "containers.koji.ports[1]: host port 443 is already used by containers.koji.ports[0]",
        ),
        (
            container(volumes="[/etc/pki/koji]"),
            "containers.koji.volumes[0]: '/etc/pki/koji' is not NAME:/PATH, such as "
            "kojicreds:/etc/pki/koji",
        ),
        (
            container(volumes='["one:/data", "two:/data/"]'),
            "containers.koji: 'volumes' mounts two volumes at /data",
        ),
        (
            container(timeout="5"),
            "containers.koji: 'timeout' needs 'detach: false', because toji waits only for such "
            "containers",
        ),
        (
            container(detach="perhaps"),
            "containers.koji.detach: should be true or false, is 'perhaps'",
        ),
        (
            container(run_once="true"),
            "containers.koji: 'run_once' needs 'detach: false', because toji waits only for such "
            "containers",
        ),
        (
            container(stop_timeout="0"),
            "containers.koji.stop_timeout: should be at least 1, is 0",
        ),
        (
            container(command="[sleep, 3]"),
            "containers.koji.command[1]: should be text, is 3; put it in quotes",
        ),
        (
            container(environment="{A: true}"),
            "containers.koji.environment.A: should be text, is True; put it in quotes",
        ),
        (
            container(environment="{A: 2020-01-01}"),
            "containers.koji.environment.A: should be text, is 2020-01-01; put it in quotes",
        ),
        (
            container(environment='{A: "{port:80}"}', ports="[443]"),
            "containers.koji: environment.A uses {port:80}, but 'ports' does not publish port 80",
        ),
        (
            container(environment='{A: "{port:}"}', ports="[443]"),
            "containers.koji: environment.A uses {port:}, which names no port",
        ),
        (
            container(environment='{"A=B": c}'),
            "containers.koji.environment.A=B: 'A=B' is not a name for a variable",
        ),
        (
            container(callbacks="{post_strt: [os.getcwd]}"),
            "containers.koji.callbacks.post_strt: unknown key; did you mean 'post_start'?",
        ),
        (
            container(callbacks="{post_start: [x]}"),
            "containers.koji.callbacks.post_start[0]: 'x' is not of the form MODULE.FUNCTION",
        ),
        ({"base": "{image: debian}"}, "base: needs 'suite'"),
        (
            {"base": "{image: debian, suite: bookworm}"},
            "base.image: 'debian' is not of the form NAME:TAG, such as debian:trixie-slim",
        ),
        (
            {"sources": "{a: {}}"},
            "sources.a: needs exactly one of 'pypi', 'url', 'path' and 'optional'",
        ),
        (
            {"sources": "{a: {optional: true, path: hub}}"},
            "sources.a: needs exactly one of 'pypi', 'url', 'path' and 'optional'",
        ),
        (
            {"sources": "{a: {pypi: koji==1, path: x}}"},
            "sources.a: needs exactly one of 'pypi', 'url', 'path' and 'optional'",
        ),
        ({"sources": "{a: {pypi: koji==1}}"}, "sources.a: needs 'sha256', the archive's checksum"),
        (
            {"sources": "{a: {pypi: koji}}"},
            "sources.a.pypi: 'koji' is not of the form NAME==VERSION",
        ),
        (
            {"sources": "{a: {url: 'file:x'}}"},
            "sources.a.url: 'file:x' is not an http or https URL",
        ),
        ({"sources": "{a: {path: none}}"}, "sources.a.path: no such folder: none"),
        (
            {"sources": "{a: {path: hub, sha256: %s}}" % ("a" * 64)},
            "sources.a: 'sha256' is for 'pypi' and 'url': a 'path' may change",
        ),
        (
            {"sources": "{a: {pypi: koji==1, sha256: abc}}"},
            "sources.a.sha256: 'abc' is not a sha256, which has 64 digits of 0-9 and a-f",
        ),
    ],
)
def test_bad_input_is_reported(read: Read, sections: dict[str, str], message: str) -> None:
    assert message in problems(read, **sections)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the file is empty"),
        ("# nothing\n", "the file is empty"),
        ("- a\n", "should be a mapping of keys, is a list"),
        ("a: [\n", "line 2, column 1: expected the node content, but found '<stream end>'"),
        ("a: 1\na: 2\n", "line 2, column 1: duplicate key 'a'"),
        (
            "a: 22:22\n",
            "line 1, column 4: put quotes around 22:22: YAML reads it as the number 1342",
        ),
        ("[" * 3000, "the file is nested too deeply"),
        (
            "a: !!python/name:os.system\n",
            "line 1, column 4: could not determine a constructor for the tag "
            "'tag:yaml.org,2002:python/name:os.system'",
        ),
    ],
)
def test_what_is_no_such_file_is_reported(read: Read, text: str, message: str) -> None:
    assert problems(read, text) == (message,)


FORM = """
base: {image: "debian:bookworm-slim", suite: bookworm}
images: {hub: {}, gone: {}}
containers:
  one: {image: hub, ports: [%s], links: [four]}
  two: {image: hub, links: [one, three]}
sources: {koji: {path: nowhere}}
%s
"""


def test_every_problem_of_a_phase_is_reported_at_once(read: Read) -> None:
    """The form comes first: references can be looked at only in values of the right type."""
    assert set(problems(read, FORM % ("none", "surplus: 1"))) == {
        "surplus: unknown key",
        "containers.one.ports[0]: 'none' is not a port; write 443 (a free host port), '8443:443' "
        "or '0.0.0.0:8443:443'",
    }
    assert set(problems(read, FORM % ("443", ""))) == {
        "images.gone: the folder gone/ has no Dockerfile",
        "containers.one.links[0]: unknown container 'four'",
        "containers.two.links[1]: unknown container 'three'",
        "sources.koji.path: no such folder: nowhere",
    }


def test_a_declaration_is_frozen(read: Read) -> None:
    declared = read()
    with pytest.raises(AttributeError):
        declared.containers = {}  # type: ignore[misc]
    other = declared.with_free_ports()
    assert other is not declared
    assert other == declared


def test_variables_may_tell_the_host_and_the_port_that_are_published(read: Read) -> None:
    urls = '{A: "https://{host}:{port:443}/{x} {port:443} {host}", B: "{}"}'
    declared = read(**container(environment=urls, ports="[443]")).containers["koji"]
    expected = {"A": "https://docker:50443/{x} 50443 docker", "B": "{}"}
    assert declared.variables("docker", {443: Endpoint("docker", 50443)}) == expected
    expected = {"A": "https://[::1]:50443/{x} 50443 127.0.0.1", "B": "{}"}
    assert declared.variables("127.0.0.1", {443: Endpoint("[::1]", 50443)}) == expected


@pytest.mark.parametrize(
    ("text", "address", "host"),
    [
        ("0.0.0.0:8443:443", "0.0.0.0", 8443),
        ("192.0.2.7::443", "192.0.2.7", None),
        ("[::]:443:443", "::", 443),
        ("[2001:DB8:0::7]:443:443", "2001:db8::7", 443),
    ],
)
def test_ports_may_be_published_on_any_address(
    read: Read, text: str, address: str, host: int | None
) -> None:
    (port,) = read(**container(ports=f'["{text}"]')).containers["koji"].ports
    assert port == Port(container=443, host=host, address=address)
    assert str(port) == text.replace("DB8:0", "db8")


def test_a_port_may_be_published_on_two_addresses_for_two_containers(read: Read) -> None:
    containers = (
        "{a: {image: hub, ports: ['192.0.2.7:1:2', '[::]:1:3']}, b: {image: hub, ports: ['1:2']}}"
    )
    assert len(read(containers=containers).containers) == 2


def test_a_missing_file_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(DeclarationError, match="no such file") as caught:
        loader.read(tmp_path / "moromi.yml")
    assert caught.value.hint
    assert caught.value.exit_code == 3


def test_a_file_that_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "moromi.yml").write_bytes(b"\xff\xfe")
    with pytest.raises(DeclarationError, match="cannot be read"):
        loader.read(tmp_path / "moromi.yml")


def test_the_file_of_this_folder_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    named = tmp_path / "other.yml"
    assert loader.locate(named) == named
    assert loader.locate(None).is_absolute()
    (tmp_path / "moromi.yml").touch()
    assert loader.locate(None) == Path("moromi.yml")
