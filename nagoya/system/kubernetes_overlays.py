"""Overlays of the base for Kubernetes, for a site to change. Pure."""

from collections.abc import Mapping
from typing import Any

from nagoya.config.declaration import Declaration
from nagoya.config.model import Endpoint
from nagoya.engine.image_facts import ImageFacts
from nagoya.system.kubernetes import Files, Manifest, copies

_HOST = "koji.example.com"
_TLS = 443
_CERTIFICATE = "site-certificate"
_FILE = "site.pem"


def overlays(
    declaration: Declaration, system: str, facts: Mapping[str, ImageFacts]
) -> dict[str, Files]:
    """For each overlay by name its files by name."""
    return {
        "copies": _copies(declaration, facts),
        **{
            f"ingress-{name}": _ingress(declaration, system, name)
            for name, container in declaration.containers.items()
            if any(port.container == _TLS for port in container.ports)
        },
    }


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
    patch: Manifest = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "template": {
                "spec": {
                    "containers": [
                        {
                            "name": name,
                            "env": [{"name": k, "value": v} for k, v in environment.items()],
                            "volumeMounts": [
                                {
                                    "name": _CERTIFICATE,
                                    "mountPath": f"/etc/{_CERTIFICATE}",
                                    "readOnly": True,
                                }
                            ],
                        }
                    ],
                    "volumes": [{"name": _CERTIFICATE, "secret": {"secretName": _CERTIFICATE}}],
                }
            }
        },
    }
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
    return {"kustomization.yaml": [kustomization], "ingress.yaml": [ingress], "patch.yaml": [patch]}


def _kustomization(*resources: str, **keys: Any) -> Manifest:
    return {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": ["../../base", *resources],
        **keys,
    }
