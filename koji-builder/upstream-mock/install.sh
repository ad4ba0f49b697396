#!/bin/bash
# Install upstream's mock and the module templated_dictionary from their source trees, as mock.spec
# does, into a root folder. If moromi.yml does not declare them, the trees are empty, and so is ROOT.
#     install.sh SOURCES ROOT
set -euo pipefail
sources=$1 root=$2
here=$(realpath "$(dirname "$0")")
mkdir -p "$root"
[ -n "$(ls -A "$sources/mock")" ] || exit 0

fail() { # NAME FILE
    printf 'src/%s is no source tree of %s: it has no %s\n  hint: see docs/mock.md\n' "$1" "$1" "$2" >&2
    exit 1
}
tree=$sources/mock/mock modules=usr/lib/python3/dist-packages
for file in mock/py/mock.py mock/mock.spec mock/etc/mock/logging.ini; do
    [ -f "$sources/mock/$file" ] || fail mock "$file"
done
[ -f "$sources/templated-dictionary/templated_dictionary/__init__.py" ] ||
    fail templated-dictionary templated_dictionary/__init__.py

cd "$root"
# It copies the last folder into each bootstrap chroot.
mkdir -p "$modules" usr/libexec/mock etc/{mock,pki/mock,rpm} usr/share/distribution-gpg-keys
cp -a "$tree/py/mockbuild" "$sources/templated-dictionary/templated_dictionary" "$modules"
install -m 755 "$tree/py/mock.py" usr/libexec/mock/mock
install -m 644 "$tree/etc/mock/logging.ini" "$here/site-defaults.cfg" etc/mock
install -m 644 "$here/macros.mock" etc/rpm
install -m 644 -t "$modules/mockbuild/plugins" "$here"/*.py
version=$(sed -n 's/^Version: *//p' "$tree/mock.spec")
# What the file calls "substituted by the build system".
sed -i -E "s|^VERSION *=.*|VERSION = \"$version\"|; s|^SYSCONFDIR *=.*|SYSCONFDIR = \"/etc\"|
    s|^PYTHONDIR *=.*|PYTHONDIR = \"/$modules\"|
    s|^PKGPYTHONDIR *=.*|PKGPYTHONDIR = \"/$modules/mockbuild\"|" "$modules/mockbuild/constants.py"
chmod -R a+rX .
python3 -m compileall -q --invalidation-mode unchecked-hash -s "$root" "$modules"
