"""What `toji export kubernetes` makes of a declaration, read back."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nagoya.config import loader
from nagoya.config.declaration import Declaration
from nagoya.config.model import Container
from nagoya.engine.image_facts import ImageFacts
from nagoya.system.exports import mounts
from nagoya.system.kubernetes import Files, base, not_carried_over
from nagoya.system.kubernetes_overlays import overlays
from tests.unit.nagoya.system.systems import Declare

HEALTH = ("python3", "/usr/lib/nagoya/health.py")
DATA = "/var/lib/postgresql/trixie"
OWN = {
    "koji-credentials-volume": ImageFacts(HEALTH, volumes=("/etc/pki/koji",)),
    "koji-top-volume": ImageFacts(HEALTH, volumes=("/mnt/koji",)),
    "koji-database": ImageFacts(HEALTH, ports=(5432,), labels={"nagoya.data": f'["{DATA}"]'}),
    "koji-hub": ImageFacts(HEALTH, timeout=10, ports=(80, 443)),
    "koji-builder": ImageFacts(HEALTH, labels={"nagoya.drain": '["drain"]'}),
}
"""What Nagoya's own images say."""
FILES = ["moromi.yml", "current/moromi.yml", "demo/moromi.yml"]


@pytest.fixture(params=FILES)
def declared(request: pytest.FixtureRequest, checkout: Path) -> Declaration:
    return loader.read(checkout / request.param)


def facts_of(declared: Declaration) -> dict[str, ImageFacts]:
    """Those of Nagoya's own images, whatever a file calls them."""
    return {
        container.image: OWN[container.image.partition(":")[0].removesuffix("-demo")]
        for container in declared.containers.values()
    }


def manifests(files: Files) -> Iterator[dict[str, Any]]:
    for name, documents in files.items():
        if name != "kustomization.yaml":
            yield from documents


def find(files: Files, kind: str, name: str) -> dict[str, Any]:
    (manifest,) = [
        manifest
        for manifest in manifests(files)
        if (manifest["kind"], manifest["metadata"]["name"]) == (kind, name)
    ]
    return manifest


def pod(files: Files, kind: str, name: str) -> dict[str, Any]:
    spec: dict[str, Any] = find(files, kind, name)["spec"]["template"]["spec"]
    return spec


KINDS = {
    "kojicreds": "Job", "kojitop": "Job", "kojidatabase": "StatefulSet", "koji": "Deployment",
    "kojibuilder": "StatefulSet",
}  # fmt: skip


def test_each_container_is_there_as_it_was_declared(declared: Declaration) -> None:
    files = base(declared, "some", facts_of(declared))
    assert list(declared.containers) == list(KINDS)
    for name, container in declared.containers.items():
        spec = pod(files, KINDS[name], name)
        (entry,) = spec["containers"]
        assert entry["image"] == container.image
        context = entry.get("securityContext", {}).get("capabilities", {})
        assert context.get("add", []) == list(container.cap_add)
        assert context.get("drop", []) == list(container.cap_drop)
        wanted = {mount.path: (mount.volume, mount.read_only) for mount in mounts(declared, name)}
        paths = {
            mount["mountPath"]: (mount["name"], mount.get("readOnly", False))
            for mount in entry["volumeMounts"]
            if mount["name"] != "container-data"
        }
        assert paths == wanted
        probe = entry.get("readinessProbe", {}).get("exec", {}).get("command")
        assert probe == (list(HEALTH) if container.detach else None)
        # Variables of Services, such as KOJI_PORT, would end Nagoya's images.
        assert spec["enableServiceLinks"] is False
        assert spec["automountServiceAccountToken"] is False


def test_modes_that_the_diagram_has(checkout: Path) -> None:
    declared = loader.read(checkout / "moromi.yml")
    modes = {
        name: {mount.path: "ro" if mount.read_only else "rw" for mount in mounts(declared, name)}
        for name in ("koji", "kojidatabase", "kojibuilder")
    }
    assert modes == {
        "koji": {
            "/etc/pki/koji": "ro",
            "/etc/pki/koji-database": "ro",
            "/etc/pki/koji-builders": "rw",
            "/mnt/koji": "rw",
        },
        "kojidatabase": {"/etc/pki/koji": "rw"},
        "kojibuilder": {"/mnt/koji": "ro", "/etc/pki/koji-builders": "rw"},
    }


def test_claims(declared: Declaration) -> None:
    files = base(declared, "some", facts_of(declared))
    claims = {
        claim["metadata"]["name"]: claim["spec"]["accessModes"] for claim in files["claims.yaml"]
    }
    shared = ["ReadWriteMany"]
    assert claims == dict.fromkeys(["kojicreds", "kojidatabase", "kojibuilders", "kojitop"], shared)
    database = find(files, "StatefulSet", "kojidatabase")["spec"]
    (template,) = database["volumeClaimTemplates"]
    assert template["spec"]["accessModes"] == ["ReadWriteOnce"]
    spec = pod(files, "StatefulSet", "kojidatabase")
    (copy,) = spec["initContainers"]
    assert copy["command"][-2:] == [DATA, "var-lib-postgresql-trixie"]
    assert spec["containers"][0]["volumeMounts"][-1] == {
        "name": "container-data",
        "mountPath": DATA,
        "subPath": "var-lib-postgresql-trixie",
    }


def test_the_policies_are_the_arrows_of_the_diagram(declared: Declaration) -> None:
    files = base(declared, "some", facts_of(declared))
    incoming, outgoing = set(), set()
    for name in declared.containers:
        spec = find(files, "NetworkPolicy", name)["spec"]
        assert spec["policyTypes"] == ["Ingress", "Egress"]
        assert spec["podSelector"]["matchLabels"]["app.kubernetes.io/component"] == name
        for rule in spec.get("ingress", ()):
            for port in rule["ports"]:
                sources = [_component(peer) for peer in rule.get("from", [{}])]
                incoming |= {(source, name, port["port"]) for source in sources}
        for rule in spec.get("egress", ()):
            for port in rule["ports"]:
                outgoing |= {(name, _component(peer), port["port"]) for peer in rule["to"]}
    arrows = {
        ("koji", "kojidatabase", 5432),
        ("kojibuilder", "koji", 80),
        ("kojibuilder", "koji", 443),
    }
    assert incoming == arrows | {("anywhere", "koji", 80), ("anywhere", "koji", 443)}
    names = {("koji", "dns", 53), ("kojibuilder", "dns", 53)}
    assert outgoing == arrows | names


def _component(peer: dict[str, Any]) -> str:
    if not peer:
        return "anywhere"
    if "namespaceSelector" in peer:
        return "dns"
    return str(peer["podSelector"]["matchLabels"]["app.kubernetes.io/component"])


def test_services_have_the_names_that_koji_uses(declared: Declaration) -> None:
    files = base(declared, "some", facts_of(declared))
    ports = {
        manifest["metadata"]["name"]: [port["port"] for port in manifest["spec"]["ports"]]
        for manifest in manifests(files)
        if manifest["kind"] == "Service" and "clusterIP" not in manifest["spec"]
    }
    assert ports == {"kojidatabase": [5432], "koji": [80, 443]}
    for manifest in manifests(files):
        if manifest["kind"] == "StatefulSet":
            governing = find(files, "Service", manifest["spec"]["serviceName"])["spec"]
            assert governing["clusterIP"] == "None"
            assert governing["selector"] == manifest["spec"]["selector"]["matchLabels"]


def test_builders_are_drained_apart_and_leave_one_at_a_time(declared: Declaration) -> None:
    files = base(declared, "some", facts_of(declared))
    spec = pod(files, "StatefulSet", "kojibuilder")
    (entry,) = spec["containers"]
    assert entry["lifecycle"]["preStop"]["exec"]["command"] == ["drain", "600"]
    assert spec["terminationGracePeriodSeconds"] > 600
    assert "podAntiAffinity" in spec["affinity"]
    budget = find(files, "PodDisruptionBudget", "kojibuilder")["spec"]
    selector = find(files, "StatefulSet", "kojibuilder")["spec"]["selector"]
    assert budget == {
        "maxUnavailable": 1,
        "selector": selector,
        "unhealthyPodEvictionPolicy": "AlwaysAllow",
    }


FULL = {
    "command": ["--cost", "$(HOME)"], "environment": {"URL": "https://{host}:{port:443}/$(x)"},
    "ports": [443, "9080:80"], "volumes": ["files:/files"], "volumes_from": ["data:ro"],
    "links": ["other"], "cap_add": ["CAP_SYS_ADMIN"], "cap_drop": ["ALL"],
    "security_opt": ["no-new-privileges", "apparmor=unconfined", "seccomp:unconfined", "label=x"],
    "restart": "on-failure:3", "mem_limit": "4g", "pids_limit": 100, "cpus": 1.5,
    "stop_timeout": 20, "read_only": True,
    "devices": ["/dev/fuse"], "sysctls": {"net.ipv4.tcp_keepalive_time": 5},
    "callbacks": {"post_start": ["nagoya.system.compose.compose_file"]},
}  # fmt: skip
ONCE = {"detach": False, "run_once": True, "timeout": 60, "network_mode": "none"}


def test_every_key_is_carried_over_or_named(declare: Declare) -> None:
    """A key that is new in moromi.yml fails here until the export has it or a warning names it."""
    assert set(Container.model_fields) == {"image", *FULL, *ONCE}
    declared = declare(data=ONCE | {"volumes": ["d:/d"]}, other={}, server=FULL)
    facts = {"tiny": ImageFacts(HEALTH, timeout=7, retries=2, ports=(5000,))}
    files = base(declared, "some", facts)
    spec = pod(files, "Deployment", "server")
    assert spec["terminationGracePeriodSeconds"] == 20
    assert spec["securityContext"] == {
        "seccompProfile": {"type": "RuntimeDefault"},
        "sysctls": [{"name": "net.ipv4.tcp_keepalive_time", "value": "5"}],
    }
    assert [entry["name"] for entry in spec["initContainers"]] == ["wait-data"]
    assert spec["initContainers"][0]["command"][-2:] == list(HEALTH)
    assert spec["containers"] == [
        {
            "name": "server",
            "image": "tiny",
            "imagePullPolicy": "IfNotPresent",
            "args": ["--cost", "$$(HOME)"],
            "env": [{"name": "URL", "value": "https://server:443/$$(x)"}],
            "ports": [{"containerPort": port} for port in (80, 443, 5000)],
            "readinessProbe": {
                "exec": {"command": list(HEALTH)},
                "periodSeconds": 10,
                "timeoutSeconds": 7,
                "failureThreshold": 2,
            },
            "resources": {"limits": {"memory": "4Gi", "cpu": "1500m"}},
            "securityContext": {
                "capabilities": {"drop": ["ALL"], "add": ["SYS_ADMIN"]},
                "readOnlyRootFilesystem": True,
                "allowPrivilegeEscalation": False,
                "appArmorProfile": {"type": "Unconfined"},
                "seccompProfile": {"type": "Unconfined"},
            },
            "volumeMounts": [
                {"name": "d", "mountPath": "/d", "readOnly": True},
                {"name": "files", "mountPath": "/files"},
            ],
        }
    ]
    assert find(files, "Job", "data")["spec"]["template"]["spec"]["restartPolicy"] == "OnFailure"
    # Without a network there is no arrow.
    assert find(files, "NetworkPolicy", "data")["spec"].keys() == {"podSelector", "policyTypes"}
    assert not_carried_over(declared) == [
        "data: `timeout` is ignored; Kubernetes waits without a limit",
        "other: `restart: no` is ignored; Kubernetes restarts it always",
        "server: Kubernetes calls no callbacks: nagoya.system.compose.compose_file at post_start",
        "server: port 9080:80 is 80 of the Service; an overlay opens it to others",
        "server: the security option label=x is ignored",
        "server: the device /dev/fuse is ignored; a device plugin of the cluster may offer it",
        "server: `pids_limit` is ignored; the kubelet's podPidsLimit is for all pods of a node",
        "server: `restart: on-failure:3` is ignored; Kubernetes restarts it always",
    ]


@pytest.mark.parametrize(
    ("declared", "size"),
    [("512m", "512Mi"), ("4g", "4Gi"), ("300000k", "300000Ki"), ("7b", "7"), ("1024", "1024")],
)
def test_sizes(declare: Declare, declared: str, size: str) -> None:
    files = base(declare(one={"mem_limit": declared}), "some", {"tiny": ImageFacts()})
    resources = pod(files, "StatefulSet", "one")["containers"][0]["resources"]
    assert resources == {"requests": {"cpu": "100m"}, "limits": {"memory": size}}


@pytest.mark.parametrize("version", ["1.30", "1.32", "1.34", "1.36"])
def test_the_schemas_of_kubernetes(declared: Declaration, version: str) -> None:
    import kubernetes_validate  # noqa: PLC0415 - only here, and it takes a second

    facts = facts_of(declared)
    ingress = overlays(declared, "some", facts)["ingress-koji"]["ingress.yaml"]
    documents = [*manifests(base(declared, "some", facts)), *ingress]
    assert len(documents) == 22
    for document in documents:
        kubernetes_validate.validate(document, version, strict=True)


def test_the_overlays(checkout: Path) -> None:
    declared = loader.read(checkout / "moromi.yml")
    folders = overlays(declared, "some", facts_of(declared))
    (copies,) = folders["copies"]["kustomization.yaml"]
    assert copies["replicas"] == [{"name": "kojibuilder", "count": 2}]
    (patch,) = folders["ingress-koji"]["patch.yaml"]
    environment = patch["spec"]["template"]["spec"]["containers"][0]["env"]
    assert environment[0] == {"name": "KOJI_WEB_URL", "value": "https://koji.example.com/koji"}


def test_the_overlay_for_a_postgresql_of_the_sites(checkout: Path) -> None:
    declared = loader.read(checkout / "moromi.yml")
    facts = facts_of(declared)
    files = overlays(declared, "some", facts)["postgresql-koji"]
    (kustomization,) = files["kustomization.yaml"]
    assert kustomization["secretGenerator"] == [
        {"name": "postgresql", "files": ["password", "server.crt"]}
    ]
    _, deletion = kustomization["patches"]
    assert deletion["target"] == {"labelSelector": "app.kubernetes.io/component=kojidatabase"}
    assert json.loads(deletion["patch"])["$patch"] == "delete"
    hub, policy = files["patch.yaml"]
    (container,) = hub["spec"]["template"]["spec"]["containers"]
    assert [mount["mountPath"] for mount in container["volumeMounts"]] == ["/etc/postgresql"]
    environment = {each["name"]: each["value"] for each in container["env"]}
    assert environment["KOJI_DATABASE_PASSWORD_FILE"] == "/etc/postgresql/password"
    assert environment["KOJI_DATABASE_URL"].endswith("?sslrootcert=/etc/postgresql/server.crt")
    database, names = policy["spec"]["egress"]
    assert database == {"ports": [{"port": 5432}]}
    # As in the base, or the hub could not resolve the server's name.
    assert (
        names == find(base(declared, "some", facts), "NetworkPolicy", "koji")["spec"]["egress"][1]
    )


def test_no_overlay_for_a_postgresql_where_there_is_one(checkout: Path) -> None:
    declared = loader.read(checkout / "docs/examples/postgresql/moromi.yml")
    assert set(overlays(declared, "some", facts_of(declared))) == {"copies", "ingress-koji"}
    warning = (
        "koji: its NetworkPolicy needs a rule for the database in KOJI_DATABASE_URL, and has none"
    )
    assert warning in not_carried_over(declared)


def run_copy(script: str, image: Path, claim: Path, *, folder: str = "data") -> None:
    subprocess.run(
        ["sh", "-c", script.replace("/claim", str(claim)), "copy", str(image), folder], check=True
    )


def test_a_claim_is_filled_once_and_wholly(declare: Declare, tmp_path: Path) -> None:
    facts = {"tiny": ImageFacts(volumes=("/d",), labels={"nagoya.data": '["/data"]'})}
    declared = declare(data={"detach": False, "volumes": ["d:/d"]}, server={})
    files = base(declared, "some", facts)
    image, claim = tmp_path / "image", tmp_path / "claim"
    (image / "folder").mkdir(parents=True)
    (image / ".complete").touch()
    server = pod(files, "StatefulSet", "server")["initContainers"][0]["command"][2]
    volume = pod(files, "Job", "data")["initContainers"][-1]["command"][2]
    for script, target in ((server, claim / "data"), (volume, claim)):
        claim.mkdir()
        # What a copy that was cut off has left.
        (claim / ("data.new" if target != claim else ".new")).mkdir()
        run_copy(script, image, claim)
        assert {path.name for path in target.iterdir()} == {"folder", ".complete"}
        (target / "folder").rmdir()
        run_copy(script, image, claim)
        assert {path.name for path in target.iterdir()} == {".complete"}
        subprocess.run(["rm", "-r", str(claim)], check=True)
