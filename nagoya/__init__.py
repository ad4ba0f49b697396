"""The host side of Nagoya: moromi builds the images, toji runs the systems made from them.

Packages from the top down. A module imports from its own package and from those below it;
tests/unit/test_architecture.py checks that.

    cli       the command lines `moromi` and `toji`
    testing   a throwaway Koji for tests, with pytest or without
    build     how images are made: from Dockerfiles, and from running systems
    koji      everything about Koji: client, profile, users, seed, verify, report
    system    how a system runs: observed state, plans, containers, readiness, snapshots
    config    moromi.yml, read into frozen values
    engine    the one boundary to the container engine
    utils     commands, files, locks, graphs, threads, progress
    errors    every error that a user can meet, with its exit status
"""

__version__ = "0.1.0"
