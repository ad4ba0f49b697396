"""The host side of Nagoya: moromi builds the images, toji runs the system made of them.

The rooms, from the ground up; an import never points upward:

    errors, command          what may go wrong; how a program is run
    plan                     pure: what is built and started, after what
    schema, declaration      moromi.yml, read into frozen values
    dockerfile               what a Dockerfile stands on, and what it copies
    engine                   the one place that speaks to Docker
    progress, schedule       showing work; doing a plan's steps in parallel
    sources, base, images    what moromi does
    system, readiness        what toji does
    snapshots                the states of a system, kept and gone back to
    cli                      the two command lines
"""

__version__ = "0.1.0"
