"""The host side of Nagoya: moromi builds the images, toji runs the system made of them.

The rooms, from the ground up; an import never points upward:

    errors, command          what may go wrong; how a program is run
    declaration, dockerfile  moromi.yml and the Dockerfiles, read into frozen values
    plan                     pure: what is built and started, after what
    engine                   the one place that speaks to Docker
    progress, schedule       showing work; doing a plan's steps in parallel
    sources, base, images    what moromi does
    system, readiness        what toji does
    cli                      the two command lines
"""

__version__ = "0.1.0"
