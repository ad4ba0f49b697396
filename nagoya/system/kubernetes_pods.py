"""The pods of a declaration's containers, for the manifests of `toji export kubernetes`. Pure."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nagoya.config.declaration import Declaration
from nagoya.config.model import Container, Endpoint
from nagoya.engine.image_facts import ImageFacts
from nagoya.system.exports import Mount, mounts, path_name
from nagoya.system.observed import data_paths
from nagoya.system.plan import DRAIN_LABEL

DATA = "container-data"
"""The claim of a container that keeps data outside of volumes."""
CLAIM_SIZE = "20Gi"
_REQUESTS = {"cpu": "100m", "memory": "256Mi"}
"""Where moromi.yml has no limit: about what each of Nagoya's own needs at rest."""
_DRAIN_SECONDS = 600
_DRAIN_GRACE_SECONDS = 30
_PROBE_SECONDS = 10
"""The images' own interval is 30 s, since toji asks them itself; a Service waits for the probe."""
_CLAIM = "/claim"
# An engine fills a new volume with what the image has at its path; Kubernetes does not. Names come
# last, so that a copy that was cut off is made again.
_COPY_DATA = (
    f'set -e; to="{_CLAIM}/$2"; [ ! -e "$to" ] || exit 0; '
    'rm -rf "$to.new"; cp -a "$1" "$to.new"; mv "$to.new" "$to"'
)
_COPY_VOLUME = (
    f'set -e; cd {_CLAIM}; rm -rf .new; [ -z "$(ls -A)" ] || exit 0; cp -a "$1" .new; '
    "find .new -mindepth 1 -maxdepth 1 -exec mv -t . {} +; rmdir .new; "
    'chown --reference="$1" .; chmod --reference="$1" .'
)
_COPY_CAPABILITIES = {"drop": ["ALL"], "add": ["CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID"]}
_UNITS = {"b": "", "k": "Ki", "m": "Mi", "g": "Gi"}
_PROFILES: dict[str, dict[str, Any]] = {
    "apparmor=unconfined": {"appArmorProfile": {"type": "Unconfined"}},
    "seccomp=unconfined": {"seccompProfile": {"type": "Unconfined"}},
    "no-new-privileges": {"allowPrivilegeEscalation": False},
}


def labels(system: str, name: str | None = None) -> dict[str, str]:
    """Those of a system's objects, or of one container's."""
    component = {"app.kubernetes.io/component": name} if name else {}
    return {"app.kubernetes.io/name": "nagoya", "app.kubernetes.io/instance": system} | component


def security_profile(option: str) -> dict[str, Any]:
    """The part of a security context that an option of Docker's stands for; empty if none does."""
    plain = option.replace(":", "=", 1).removesuffix("=true")
    return {} if plain == "no-new-privileges=false" else _PROFILES.get(plain, {})


@dataclass(frozen=True)
class Pods:
    """The pods of a system; `facts` are those of each image of a container, by name."""

    declaration: Declaration
    system: str
    facts: Mapping[str, ImageFacts]

    def spec(self, name: str) -> dict[str, Any]:
        """The pod of a container."""
        container = self.declaration.containers[name]
        drain = self._drain(container)
        grace = _DRAIN_SECONDS + _DRAIN_GRACE_SECONDS if drain else 0
        mounted = (name, *(source.container for source in container.volumes_from))
        claims = dict.fromkeys(
            mount.volume for each in mounted for mount in mounts(self.declaration, each)
        )
        spec = {
            "automountServiceAccountToken": False,
            # Variables such as KOJI_PORT would be taken for options of the images.
            "enableServiceLinks": False,
            "restartPolicy": None if container.detach else "OnFailure",
            "terminationGracePeriodSeconds": container.stop_timeout + grace,
            "securityContext": {
                "seccompProfile": {"type": "RuntimeDefault"},
                **filled({"sysctls": _sysctls(container)}),
            },
            "affinity": _apart(labels(self.system, name)) if drain else None,
            "initContainers": [*self._copies(container, name), *self._waits(container)],
            "containers": [self._container(container, name, drain)],
            "volumes": [
                {"name": claim, "persistentVolumeClaim": {"claimName": claim}} for claim in claims
            ],
        }
        return filled(spec)

    def _container(self, container: Container, name: str, drain: Sequence[str]) -> dict[str, Any]:
        facts = self.facts[container.image]
        published = {port.container: Endpoint(name, port.container) for port in container.ports}
        variables = container.variables(name, published)
        stop = {"preStop": {"exec": {"command": [*drain, str(_DRAIN_SECONDS)]}}} if drain else None
        ports = sorted({*facts.ports, *published})
        spec = {
            "name": name,
            "image": container.image,
            "imagePullPolicy": "IfNotPresent",
            "args": [_escaped(word) for word in container.command],
            "env": [{"name": key, "value": _escaped(text)} for key, text in variables.items()],
            "ports": [{"containerPort": port} for port in ports],
            "readinessProbe": _probe(facts) if container.detach and facts.health else None,
            "lifecycle": stop,
            "resources": _resources(container),
            "securityContext": _security(container),
            "volumeMounts": [
                *(_mounted(mount) for mount in mounts(self.declaration, name)),
                *(
                    {"name": DATA, "mountPath": path, "subPath": path_name(path)}
                    for path in data_paths(self.facts[container.image].labels)
                ),
            ],
        }
        return filled(spec)

    def _drain(self, container: Container) -> list[str]:
        return list(json.loads(self.facts[container.image].labels.get(DRAIN_LABEL, "[]")))

    def _copies(self, container: Container, name: str) -> Iterator[dict[str, Any]]:
        """What fills new claims with what the image has at their paths."""
        wanted = [
            (DATA, _COPY_DATA, path) for path in data_paths(self.facts[container.image].labels)
        ]
        if not container.detach:
            volumes = self.facts[container.image].volumes
            wanted += [
                (mount.volume, _COPY_VOLUME, mount.path)
                for mount in mounts(self.declaration, name)
                if mount.path in volumes
            ]
        for claim, script, path in wanted:
            yield {
                "name": f"copy-{path_name(path)}"[:63].strip("-"),
                "image": container.image,
                "imagePullPolicy": "IfNotPresent",
                "command": ["sh", "-c", script, "copy", path, path_name(path)],
                "securityContext": {"capabilities": _COPY_CAPABILITIES},
                "volumeMounts": [{"name": claim, "mountPath": _CLAIM}],
            }

    def _waits(self, container: Container) -> Iterator[dict[str, Any]]:
        """What waits for the Jobs whose volumes a container mounts: until they are healthy."""
        for source in container.volumes_from:
            other = self.declaration.containers[source.container]
            health = self.facts[other.image].health
            if not other.detach and health:
                yield {
                    "name": f"wait-{source.container}"[:63].strip("-"),
                    "image": other.image,
                    "imagePullPolicy": "IfNotPresent",
                    "command": ["sh", "-c", 'until "$@"; do sleep 1; done', "wait", *health],
                    "securityContext": {"capabilities": {"drop": ["ALL"]}},
                    "volumeMounts": [
                        _mounted(mount._replace(read_only=True))
                        for mount in mounts(self.declaration, source.container)
                    ],
                }


def _mounted(mount: Mount) -> dict[str, Any]:
    read_only = {"readOnly": True} if mount.read_only else {}
    return {"name": mount.volume, "mountPath": mount.path, **read_only}


def _probe(facts: ImageFacts) -> dict[str, Any]:
    """Whether Services send connections. As on an engine, nothing restarts what is not healthy."""
    return {
        "exec": {"command": list(facts.health)},
        "periodSeconds": min(facts.interval, _PROBE_SECONDS),
        "timeoutSeconds": facts.timeout,
        "failureThreshold": facts.retries,
    }


def _resources(container: Container) -> dict[str, Any]:
    limits = {}
    if container.mem_limit:
        number = container.mem_limit.rstrip("bkmg")
        limits["memory"] = number + _UNITS[container.mem_limit[len(number) :] or "b"]
    if container.cpus:
        limits["cpu"] = f"{round(container.cpus * 1000)}m"
    # A limit is the request too, if there is no other.
    requests = {key: value for key, value in _REQUESTS.items() if key not in limits}
    return filled({"requests": requests, "limits": limits})


def _sysctls(container: Container) -> list[dict[str, str]]:
    return [{"name": name, "value": value} for name, value in container.sysctls.items()]


def _security(container: Container) -> dict[str, Any]:
    """The declared capabilities and limits, and what the engine adds by default."""
    capabilities = {
        "drop": [name.removeprefix("CAP_") for name in container.cap_drop],
        "add": [name.removeprefix("CAP_") for name in container.cap_add],
    }
    context: dict[str, Any] = {"capabilities": filled(capabilities)}
    if container.read_only:
        context["readOnlyRootFilesystem"] = True
    for option in container.security_opt:
        context |= security_profile(option)
    return {key: value for key, value in context.items() if value != {}}


def _apart(own: Mapping[str, str]) -> dict[str, Any]:
    """On other nodes, where there are others: one that is lost takes one pod with it."""
    term = {"labelSelector": {"matchLabels": own}, "topologyKey": "kubernetes.io/hostname"}
    preferred = [{"weight": 100, "podAffinityTerm": term}]
    return {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": preferred}}


def filled(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Without keys that have no value; False is one."""
    return {key: value for key, value in spec.items() if value not in (None, [], {})}


def _escaped(text: str) -> str:
    """`$(NAME)` would be replaced by a variable."""
    return text.replace("$(", "$$(")
