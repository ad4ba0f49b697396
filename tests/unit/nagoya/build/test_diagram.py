"""The drawing of a declared system."""

from pathlib import Path

from nagoya.build import diagram
from nagoya.config import loader


def test_containers_volumes_links_and_ports_are_drawn(checkout: Path) -> None:
    declared = loader.read(checkout / "moromi.yml")
    assert diagram.mermaid(declared).splitlines() == [
        "flowchart LR",
        '  kojicreds[("kojicreds<br>koji-credentials-volume")]',
        '  kojitop[("kojitop<br>koji-top-volume")]',
        '  kojidatabase["kojidatabase<br>koji-database"]',
        '  koji["koji<br>koji-hub"]',
        '  kojibuilder["kojibuilder<br>koji-builder"]',
        '  host(["this machine"])',
        '  host -->|"80, 443"| koji',
        '  kojidatabase -.->|"rw"| kojicreds',
        "  koji --> kojidatabase",
        '  koji -.->|"ro"| kojicreds',
        '  koji -.->|"rw"| kojitop',
        "  kojibuilder --> koji",
        '  kojibuilder -.->|"rw"| kojicreds',
        '  kojibuilder -.->|"ro"| kojitop',
    ]
