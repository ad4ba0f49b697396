#!/bin/bash
# Install a source tree of Koji, by its own Makefiles, into one root folder for each image:
#     install.sh SOURCE TARGET [PYTHON]    makes TARGET/hub and TARGET/builder
# `make install` is what stays the same across Koji's versions; the names of its parts, and the
# folders they are in, do not. What is compiled is compiled for the path it will have. Koji's
# programs name a Python that Debian does not have. From 1.31 on its Makefiles compare as bash does,
# and install no plugin under dash.
set -euo pipefail
source=$1 target=$2 python=${3:-/usr/bin/python3}
all=$target/all
rm -rf "$target"/{all,hub,builder}

take() { # IMAGE PATH...: copy what an image needs into its root folder
    local root=$target/$1
    shift
    mkdir -p "$root"
    (cd "$all" && cp -a --parents "$@" "$root")
}

# rpm 4.20 has no more of the list of a package's files that Koji up to 1.31 compares packages by.
sed -i -E "s/(old|new)\.fiFromHeader\(\)/map(operator.attrgetter('name', 'size', 'mode', \
        'mtime', 'fflags', 'rdev', 'inode', 'nlink', 'state', 'vflags', 'user', 'group', \
        'digest'), rpm.files(\1))/; s/^import os\$/import operator\n&/" "$source/koji/rpmdiff.py"
# Its query compares with a list as with a single number.
sed -i 's/WHERE parent IN %s", (parents,)/WHERE parent IN %s", (tuple(parents),)/' \
    "$source/util/koji-sweep-db"
for part in koji cli util hub kojihub www plugins builder; do
    [ ! -d "$source/$part" ] || make -C "$source/$part" install SHELL=/bin/bash \
        DESTDIR="$all" PYTHON="$python"
done
for kind in hub builder; do
    ! compgen -G "$source/plugins/$kind/*.py" >/dev/null || ls "$all"/usr/lib/koji-$kind-plugins/*.py
done
sed -i '1s|^#!.*python[^[:space:]]*|#!/usr/bin/python3|' "$all"/usr/bin/* "$all"/usr/sbin/*

cd "$all"
take hub usr/lib/{python3,koji-hub-plugins} usr/share/koji-{web,hub} usr/bin usr/sbin/koji[-r]* etc/koji-hub etc/koji-gc/email.tpl
mkdir -p "$target/hub/usr/lib/nagoya"
cp -a etc/httpd "$target/hub/usr/lib/nagoya/upstream"
take builder usr/lib/{python3,koji-builder-plugins} usr/bin/koji usr/sbin/kojid etc/kojid/plugins
rm -rf "$target"/builder/usr/lib/python3/*/kojihub # a builder imports nothing of the hub
cd /
rm -r "$all"
