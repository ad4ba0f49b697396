"""A declared system as a drawing: containers, their volumes, links and published ports."""

from collections.abc import Iterator
from dataclasses import dataclass

from nagoya.config.declaration import Declaration


@dataclass(frozen=True)
class _Edge:
    start: str
    end: str
    label: str
    dotted: bool = False


def mermaid(declaration: Declaration) -> str:
    """A flowchart for Mermaid, which GitHub and GitLab show in Markdown."""
    lines = ["flowchart LR"]
    for name, container in declaration.containers.items():
        shape = '[("{}<br>{}")]' if container.run_once else '["{}<br>{}"]'
        lines.append(f"  {name}{shape.format(name, container.image)}")
    if _edges_from_host(declaration):
        lines.append('  host(["this machine"])')
    for edge in _edges(declaration):
        arrow = "-.->" if edge.dotted else "-->"
        label = f'|"{edge.label}"|' if edge.label else ""
        lines.append(f"  {edge.start} {arrow}{label} {edge.end}")
    return "\n".join(lines)


def dot(declaration: Declaration) -> str:
    """A digraph for Graphviz."""
    lines = ["digraph system {", "  rankdir=LR; node [shape=box];"]
    for name, container in declaration.containers.items():
        shape = " shape=cylinder" if container.run_once else ""
        lines.append(f'  "{name}" [label="{name}\\n{container.image}"{shape}];')
    if _edges_from_host(declaration):
        lines.append('  "host" [label="this machine" shape=oval];')
    for edge in _edges(declaration):
        style = " style=dotted" if edge.dotted else ""
        lines.append(f'  "{edge.start}" -> "{edge.end}" [label="{edge.label}"{style}];')
    return "\n".join([*lines, "}"])


def _edges(declaration: Declaration) -> Iterator[_Edge]:
    yield from _edges_from_host(declaration)
    for name, container in declaration.containers.items():
        for link in container.links:
            yield _Edge(name, link, "")
        for volumes in container.volumes_from:
            yield _Edge(name, volumes.container, volumes.mode, dotted=True)


def _edges_from_host(declaration: Declaration) -> list[_Edge]:
    return [
        _Edge(
            "host",
            name,
            ", ".join(
                f"{port.host}:{port.container}" if port.host else f"{port.container}"
                for port in container.ports
            ),
        )
        for name, container in declaration.containers.items()
        if container.ports
    ]
