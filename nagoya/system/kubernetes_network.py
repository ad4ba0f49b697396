"""Services and NetworkPolicies: the arrows of the diagram, for `toji export kubernetes`. Pure."""

from collections.abc import Iterable, Mapping
from typing import Any

from nagoya.config.declaration import Declaration
from nagoya.engine.image_facts import ImageFacts
from nagoya.system.kubernetes_pods import filled, labels

DNS_RULE = {
    "to": [{"namespaceSelector": {}, "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}}}],
    "ports": [{"protocol": protocol, "port": 53} for protocol in ("UDP", "TCP")],
}


def headless(name: str) -> str:
    """The Service that gives the pods of a StatefulSet their names."""
    return f"{name}-pods"


def services(
    declaration: Declaration, system: str, name: str, facts: ImageFacts
) -> list[dict[str, Any]]:
    """The name under which others reach a container, and those of its pods."""
    container = declaration.containers[name]
    ports = _ports(declaration, name, facts)
    if not container.detach:
        return []
    services = [_service(system, name, headless(name), {"clusterIP": "None"}, ())]
    return [*services, _service(system, name, name, {}, ports)] if ports else services


def policies(
    declaration: Declaration, system: str, name: str, facts: Mapping[str, ImageFacts]
) -> list[dict[str, Any]]:
    """The arrows that begin and end at a container, and no other connection."""
    containers = declaration.containers
    container = containers[name]
    sources = [other for other, container in containers.items() if name in container.links]
    ports = _ports(declaration, name, facts[container.image])
    ingress: list[dict[str, Any]] = []
    if sources and ports:
        ingress.append({"from": _pods(system, sources), "ports": _tcp(ports)})
    if container.ports:
        # This machine's arrow: clients from anywhere.
        ingress.append({"ports": _tcp(port.container for port in container.ports)})
    egress: list[dict[str, Any]] = []
    for link in container.links:
        linked = _ports(declaration, link, facts[containers[link].image])
        egress.append({"to": _pods(system, [link]), "ports": _tcp(linked)})
    if container.links:
        egress.append(DNS_RULE)
    own = labels(system, name)
    return [
        {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": {"name": name, "labels": own},
            # Kubernetes drops empty lists: with them, each `kubectl apply` would change something.
            "spec": filled(
                {
                    "podSelector": {"matchLabels": own},
                    "policyTypes": ["Ingress", "Egress"],
                    "ingress": ingress,
                    "egress": [rule for rule in egress if rule["ports"]],
                }
            ),
        }
    ]


def _ports(declaration: Declaration, name: str, facts: ImageFacts) -> list[int]:
    """Those that the image exposes or that are published."""
    published = (port.container for port in declaration.containers[name].ports)
    return sorted({*facts.ports, *published})


def _service(
    system: str, name: str, service: str, kind: Mapping[str, Any], ports: Iterable[int]
) -> dict[str, Any]:
    listed = [{"name": f"tcp-{port}", "port": port} for port in ports]
    own = labels(system, name)
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": service, "labels": own},
        "spec": {**kind, "selector": own, **({"ports": listed} if listed else {})},
    }


def _pods(system: str, names: Iterable[str]) -> list[dict[str, Any]]:
    return [{"podSelector": {"matchLabels": labels(system, name)}} for name in names]


def _tcp(ports: Iterable[int]) -> list[dict[str, Any]]:
    return [{"port": port} for port in ports]
