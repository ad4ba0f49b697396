# Build `hello` in a Koji with the demo's seed. `moromi build demo` runs this in a container of the
# builder's image, once the seed is applied.
set -euo pipefail

koji() { command koji --config=koji.conf --noauth "$@"; }
as_admin() { command koji --config=koji.conf "$@"; }

# The builder's image contains the packages as git repositories. The hub serves them from the folder
# that `toji verify` uses too.
demo=/usr/share/nagoya/demo
mkdir /mnt/koji/demo
cp -r $demo/git /mnt/koji/demo/
hello=$(python3 -c 'import json, sys; print("{git}#{commit}".format(**json.load(sys.stdin)["hello"]))' \
    < $demo/sources.json)

# kojira makes the first repository, and another one once `hello` is tagged.
koji wait-repo --timeout=10 --build=demo-buildroot-12-1 demo-build
as_admin build --wait demo-chain "git+https://koji/demo/$hello"
koji wait-repo --timeout=10 --build=hello-1.0-1.demo demo-build
