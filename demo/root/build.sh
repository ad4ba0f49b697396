# Build `hello` in a Koji that holds the demo's seed: the root of `moromi build demo`, which runs it
# in a container of the builder's image. The seed says all that the hub knows; this only waits and
# builds.
set -euo pipefail

koji() { command koji --config=koji.conf --noauth "$@"; }
as_admin() { command koji --config=koji.conf "$@"; }

# The builder's image holds the packages as git repositories; the hub serves them, where
# `toji verify` looks for them too.
demo=/usr/share/nagoya/demo
mkdir /mnt/koji/demo
cp -r $demo/git /mnt/koji/demo/
hello=$(python3 -c 'import json, sys; print("{git}#{commit}".format(**json.load(sys.stdin)["hello"]))' \
    < $demo/sources.json)

# kojira makes a repository by itself, and another one once `hello` is in a tag it is made of.
koji wait-repo --timeout=10 --build=demo-buildroot-12-1 demo-build
as_admin build --wait demo-chain "git+https://koji/kojifiles/demo/$hello"
koji wait-repo --timeout=10 --build=hello-1.0-1.demo demo-build
