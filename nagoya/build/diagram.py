"""A declared system as a drawing: containers, their volumes, links and published ports."""

from collections.abc import Iterator

from nagoya.config.declaration import Declaration


def mermaid(declaration: Declaration) -> str:
    """A flowchart for Mermaid, which GitHub and GitLab show in Markdown."""
    lines = ["flowchart LR"]
    for name, container in declaration.containers.items():
        shape = '[("{}<br>{}")]' if container.run_once else '["{}<br>{}"]'
        lines.append(f"  {name}{shape.format(name, container.image)}")
    edges = list(_edges(declaration))
    if any(start == "host" for start, *_ in edges):
        lines.append('  host(["this machine"])')
    for start, end, label, dotted in edges:
        text = f'|"{label}"|' if label else ""
        lines.append(f"  {start} {'-.->' if dotted else '-->'}{text} {end}")
    return "\n".join(lines)


def _edges(declaration: Declaration) -> Iterator[tuple[str, str, str, bool]]:
    """Each arrow: start, end, label, and whether it is dotted; those from `host` are first."""
    for name, container in declaration.containers.items():
        if container.ports:
            yield "host", name, ", ".join(map(str, container.ports)), False
    owners: dict[str, str] = {}
    for name, container in declaration.containers.items():
        yield from ((name, link, "", False) for link in container.links)
        sources = {volumes.container for volumes in container.volumes_from}
        for volume in container.volumes:
            owner = owners.setdefault(volume.name, name)
            if owner != name and owner not in sources:
                yield name, owner, "rw", True
        yield from ((name, v.container, v.mode, True) for v in container.volumes_from)
