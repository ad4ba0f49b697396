"""The host side of Nagoya: moromi builds the images, toji runs the system made of them.

The rooms, from the ground up; an import never points upward:

    errors, command          what may go wrong; how a program is run
    plan                     pure: what is built and started, after what
    schema, declaration      moromi.yml, read into frozen values
    dockerfile               what a Dockerfile stands on, and what it copies
    engine                   the one place that speaks to Docker
    progress, schedule       showing work; doing a plan's steps in parallel
    sources, base            what images are made from
    system, readiness        what toji does with a system
    snapshots                its states, kept and gone back to
    hub, seed, users, verify what is done with the Koji in it
    live, images             what moromi does: images from Dockerfiles, and from live systems
    testing, pytest_plugin   a Koji of one's own, for tests
    cli                      the two command lines
"""

__version__ = "0.1.0"
