"""A declaration as manifests for Kubernetes: a Kustomize base of the same containers. Pure.

Each file of the base is a list of manifests. What ends becomes a Job; what keeps data outside of
volumes, or can run several times, a StatefulSet; the rest are Deployments of one pod.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from nagoya.config.declaration import Declaration
from nagoya.config.model import Container
from nagoya.engine.image_facts import ImageFacts
from nagoya.system.exports import callbacks_of, copies, mounts
from nagoya.system.kubernetes_network import headless, policies, services
from nagoya.system.kubernetes_pods import CLAIM_SIZE, DATA, Pods, labels, security_profile
from nagoya.system.observed import data_paths

Manifest = dict[str, Any]
Files = dict[str, list[Manifest]]

_ALWAYS = ("always", "unless-stopped")
_KEPT_SECONDS = 600
"""How long a finished Job is kept. A Job cannot be changed, so newer images wait for its end."""


def base(declaration: Declaration, system: str, facts: Mapping[str, ImageFacts]) -> Files:
    """The files of the base by name; `facts` are those of each image of a container, by name."""
    pods = Pods(declaration, system, facts)
    files = {"namespace.yaml": [_namespace(system)], "claims.yaml": _claims(declaration, system)}
    for name, container in declaration.containers.items():
        image = facts[container.image]
        files[f"{name}.yaml"] = [
            _workload(declaration, pods, name),
            *services(declaration, system, name, image),
            *policies(declaration, system, name, facts),
        ]
        if copies(declaration, name, facts):
            files[f"{name}.yaml"].append(_budget(system, name))
    kustomization: Manifest = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "namespace": system,
        "resources": list(files),
    }
    return {"kustomization.yaml": [kustomization], **files}


def not_carried_over(declaration: Declaration) -> list[str]:
    """A sentence for each part of a declaration that the manifests have no counterpart of."""
    sentences = []
    for name, container in declaration.containers.items():
        if container.callbacks:
            sentences.append(f"{name}: Kubernetes calls no callbacks: {callbacks_of(container)}")
        sentences += [f"{name}: {sentence}" for sentence in _without_counterpart(container)]
    return sentences


def _without_counterpart(container: Container) -> Iterator[str]:
    for port in container.ports:
        if port.host or port.address:
            yield f"port {port} is {port.container} of the Service; an overlay opens it to others"
    for option in container.security_opt:
        if not security_profile(option):
            yield f"the security option {option} is ignored"
    for device in container.devices:
        yield f"the device {device} is ignored; a device plugin of the cluster may offer it"
    if "KOJI_DATABASE_URL" in container.environment:
        yield "its NetworkPolicy needs a rule for the database in KOJI_DATABASE_URL, and has none"
    if container.pids_limit:
        yield "`pids_limit` is ignored; the kubelet's podPidsLimit is for all pods of a node"
    if container.detach and container.restart not in _ALWAYS:
        yield f"`restart: {container.restart}` is ignored; Kubernetes restarts it always"
    if "timeout" in container.model_fields_set:
        yield "`timeout` is ignored; Kubernetes waits without a limit"


def _namespace(system: str) -> Manifest:
    # Builders mount file systems, which the other levels forbid.
    level = {"pod-security.kubernetes.io/enforce": "privileged"}
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": system, "labels": labels(system) | level},
    }


def _claims(declaration: Declaration, system: str) -> list[Manifest]:
    """A claim for each volume; several pods mount it, if that is so, from any node."""
    containers = declaration.containers
    used = [mount.volume for name in containers for mount in mounts(declaration, name)]
    return [
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": claim, "labels": labels(system)},
            "spec": _claim_spec("ReadWriteMany" if used.count(claim) > 1 else "ReadWriteOnce"),
        }
        for claim in dict.fromkeys(used)
    ]


def _claim_spec(mode: str) -> Manifest:
    return {"accessModes": [mode], "resources": {"requests": {"storage": CLAIM_SIZE}}}


def _workload(declaration: Declaration, pods: Pods, name: str) -> Manifest:
    container = declaration.containers[name]
    own = labels(pods.system, name)
    data = data_paths(pods.facts[container.image].labels)
    spec: Manifest
    selected: Manifest = {"replicas": 1, "selector": {"matchLabels": own}}
    if not container.detach:
        version, kind, spec = "batch/v1", "Job", {"ttlSecondsAfterFinished": _KEPT_SECONDS}
    elif data or copies(declaration, name, pods.facts):
        version, kind = "apps/v1", "StatefulSet"
        spec = {"serviceName": headless(name), "podManagementPolicy": "Parallel", **selected}
    else:
        # Two hubs at once would be two kojiras.
        version, kind = "apps/v1", "Deployment"
        spec = {"strategy": {"type": "Recreate"}, **selected}
    # For `kubectl exec`, which would name the init containers each time.
    annotations = {"kubectl.kubernetes.io/default-container": name}
    metadata = {"labels": own, "annotations": annotations}
    spec["template"] = {"metadata": metadata, "spec": pods.spec(name)}
    if data and kind == "StatefulSet":
        claim = {"metadata": {"name": DATA}, "spec": _claim_spec("ReadWriteOnce")}
        spec["volumeClaimTemplates"] = [claim]
    return {
        "apiVersion": version,
        "kind": kind,
        "metadata": {"name": name, "labels": own},
        "spec": spec,
    }


def _budget(system: str, name: str) -> Manifest:
    """One at a time leaves for the maintenance of a node; one that is not ready never stops it."""
    own = labels(system, name)
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": name, "labels": own},
        "spec": {
            "maxUnavailable": 1,
            "selector": {"matchLabels": own},
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
        },
    }
