"""Overlays of the base for Kubernetes, for a site to change. Pure."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from nagoya.config.declaration import Declaration
from nagoya.config.model import Endpoint
from nagoya.engine.image_facts import ImageFacts
from nagoya.system.exports import copies
from nagoya.system.kubernetes import Files, Manifest
from nagoya.system.kubernetes_network import DNS_RULE
from nagoya.system.observed import DATA_LABEL

_HOST = "koji.example.com"
_TLS = 443
_CERTIFICATE = "site-certificate"
_FILE = "site.pem"
_DATABASE = "postgresql"
_DATABASE_URL = f"postgresql://koji@db.example.com/koji?sslrootcert=/etc/{_DATABASE}/server.crt"
_DATABASE_PORT = 5432


def overlays(
    declaration: Declaration, system: str, facts: Mapping[str, ImageFacts]
) -> dict[str, Files]:
    """For each overlay by name its files by name."""
    containers = declaration.containers
    overlays = {"copies": _copies(declaration, facts)}
    for name, container in containers.items():
        if any(port.container == _TLS for port in container.ports):
            overlays[f"ingress-{name}"] = _ingress(declaration, system, name)
            databases = [
                link
                for link in container.links
                if DATA_LABEL in facts[containers[link].image].labels
            ]
            if databases:
                overlays[f"postgresql-{name}"] = _postgresql(system, name, databases)
    return overlays


def _copies(declaration: Declaration, facts: Mapping[str, ImageFacts]) -> Files:
    """More builders: one number."""
    names = [name for name in declaration.containers if copies(declaration, name, facts)]
    replicas = [{"name": name, "count": 2} for name in names]
    return {"kustomization.yaml": [_kustomization(replicas=replicas)]}


def _ingress(declaration: Declaration, system: str, name: str) -> Files:
    """A name of the site's, and its certificate; the controller passes TLS on, since clients log
    in with certificates."""
    container = declaration.containers[name]
    published = {port.container: Endpoint(_HOST, port.container) for port in container.ports}
    environment = {
        key: value.replace(f"{_HOST}:{_TLS}", _HOST)
        for key, value in container.variables(_HOST, published).items()
        if "{" in container.environment[key]
    }
    environment["KOJI_SITE_CERTIFICATE"] = f"/etc/{_CERTIFICATE}/{_FILE}"
    backend = {"service": {"name": name, "port": {"number": _TLS}}}
    rule = {
        "host": _HOST,
        "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]},
    }
    ingress: Manifest = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": {
            "name": name,
            "annotations": {"nginx.ingress.kubernetes.io/ssl-passthrough": "true"},
        },
        "spec": {"ingressClassName": "nginx", "tls": [{"hosts": [_HOST]}], "rules": [rule]},
    }
    kustomization = _kustomization(
        "ingress.yaml",
        namespace=system,
        patches=[{"path": "patch.yaml"}],
        secretGenerator=[{"name": _CERTIFICATE, "files": [_FILE]}],
    )
    return {
        "kustomization.yaml": [kustomization],
        "ingress.yaml": [ingress],
        "patch.yaml": [_with_secret(name, _CERTIFICATE, environment)],
    }


def _postgresql(system: str, name: str, databases: Iterable[str]) -> Files:
    """A PostgreSQL of the site's in place of those in the system."""
    environment = {
        "KOJI_DATABASE_URL": _DATABASE_URL,
        "KOJI_DATABASE_PASSWORD_FILE": f"/etc/{_DATABASE}/password",
    }
    policy: Manifest = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": name},
        "spec": {"egress": [{"ports": [{"port": _DATABASE_PORT}]}, DNS_RULE]},
    }
    # All that the label selects: kustomize 5.5 does not read several deletions in one file.
    deletion = json.dumps({"$patch": "delete", "kind": "Any", "metadata": {"name": "any"}})
    deletions = [
        {"target": {"labelSelector": f"app.kubernetes.io/component={database}"}, "patch": deletion}
        for database in databases
    ]
    patches = [_with_secret(name, _DATABASE, environment), policy]
    kustomization = _kustomization(
        namespace=system,
        patches=[{"path": "patch.yaml"}, *deletions],
        secretGenerator=[{"name": _DATABASE, "files": ["password", "server.crt"]}],
    )
    return {"kustomization.yaml": [kustomization], "patch.yaml": patches}


def _with_secret(name: str, secret: str, environment: Mapping[str, str]) -> Manifest:
    """The patch of a Deployment that mounts a Secret at /etc/SECRET."""
    mount = {"name": secret, "mountPath": f"/etc/{secret}", "readOnly": True}
    container = {
        "name": name,
        "env": [{"name": key, "value": value} for key, value in environment.items()],
        "volumeMounts": [mount],
    }
    volume = {"name": secret, "secret": {"secretName": secret}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {"template": {"spec": {"containers": [container], "volumes": [volume]}}},
    }


def _kustomization(*resources: str, **keys: Any) -> Manifest:
    return {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": ["../../base", *resources],
        **keys,
    }
