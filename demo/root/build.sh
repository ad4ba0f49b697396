# Build `hello` in a Koji with the demo's seed. `moromi build demo` runs this in a container of the
# builder's image, once the seed is applied.
set -euo pipefail

koji() { command koji --config=koji.conf "$@"; }
# Up to Koji 1.34 kojira makes a tag's repository by itself; since, it is requested.
request=$(koji wait-repo --help | grep --only-matching --max-count=1 -e --request || true)

# The builder's image contains the packages as git repositories. The hub serves them from the folder
# that `toji verify` uses too.
demo=/usr/share/nagoya/demo
mkdir /mnt/koji/demo
cp -r $demo/git /mnt/koji/demo/
hello=$(python3 -c 'import json, sys; print("{git}#{commit}".format(**json.load(sys.stdin)["hello"]))' \
    < $demo/sources.json)

# The tag's first repository, and the one with `hello`.
koji wait-repo $request --timeout=10 --build=demo-buildroot-12-1 demo-build
koji build --wait demo-chain "git+https://koji/demo/$hello"
koji wait-repo $request --timeout=10 --build=hello-1.0-1.demo demo-build
