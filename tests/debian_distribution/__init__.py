"""A distribution of RPMs to test on, made of Debian's packages at test time.

It has what a real one has and the demo's toy has not: hundreds of RPMs with versioned and rich
dependencies, epochs and file provides; scriptlets in shell and Lua, file triggers; `filesystem`,
`setup` and a `redhat-rpm-config` with macros for CMake, Meson, Python, Perl, Go and systemd.

    tables.py    what it contains, and what Debian's maintainer scripts would have done
    closure.py   which .debs that takes
    spec.py      the spec of the RPM that a .deb becomes
    provides.py  what files provide: pkgconfig(), perl(), python3dist(), cmake()
    convert.py   runs in the builder's image: downloads, converts, writes the repository
    sources.py   runs there too: source RPMs and git repositories of tests/packages
    own/         specs and macros that no .deb has
    cache.py     runs on this machine: makes each once, and keeps it

All but the last run in the image with nothing but Python, and import nothing else of the project.
"""
