#!/bin/bash
# Rebuild a source RPM without Koji and mock: dnf makes a chroot, and rpmbuild runs in it.
#
#   plain_rpmbuild.sh ARCH REPOSITORY FOLDER PACKAGE...
#
# Runs as root in a builder. ARCH is x86_64 or i686; FOLDER has the source RPM; PACKAGEs are those of every
# buildroot. The RPMs are in /var/tmp/plain-ARCH/root/builddir/build/RPMS then.
set -euo pipefail
arch=$1 repository=$2
srpm=$(echo "$3"/*.src.rpm)
shift 3
folder=/var/tmp/plain-$arch
root=$folder/root
export HOME=$folder

install() { # ROOT COMMAND...: dnf, on a chroot
    dnf --quiet --assumeyes --forcearch="$arch" --config="$folder/dnf.conf" --disableplugin='*' --enableplugin=builddep \
        --installroot="$1" "${@:2}" >"$folder/dnf.log" 2>&1 || { tail -n 20 "$folder/dnf.log"; return 1; }
}

build() { # OPTION...: rpmbuild in the chroot, as mock's user; only there are the file systems mounted
    unshare --mount --ipc bash -euc '
        for name in proc sys dev; do mount --rbind "/$name" "$0/$name"; done
        exec setarch "$1" chroot --userspec=1000:135 "$0" env -i HOME=/builddir LANG=C.UTF-8 TERM=vt100 \
            SHELL=/bin/bash HOSTNAME=mock PATH=/usr/bin:/bin:/usr/sbin:/sbin \
            bash --login -c "cd /; exec rpmbuild \"\$@\"" rpmbuild "${@:2}"' "$root" "$arch" "$@"
}

if [ ! -d "$folder/base" ]; then
    mkdir -p "$folder"
    printf '%s\n' '%_dbpath /usr/lib/sysimage/rpm' '%__transaction_unshare %{nil}' >"$folder/.rpmmacros"
    printf '%s\n' '[main]' 'reposdir=/dev/null' 'gpgcheck=0' 'install_weak_deps=0' "cachedir=$folder/cache" \
        'keepcache=1' '[distribution]' 'name=distribution' "baseurl=$repository" 'sslverify=0' >"$folder/dnf.conf"
    install "$folder/base.part" install "$@"
    echo 'mockbuild:x:1000:135::/builddir:/bin/bash' >>"$folder/base.part/etc/passwd"
    echo 'mock:x:135:' >>"$folder/base.part/etc/group"
    mv "$folder/base.part" "$folder/base"
fi
rm -rf "$root"
cp -a "$folder/base" "$root"
mkdir -p "$root"/builddir/build/{BUILD,RPMS,SOURCES,SPECS,SRPMS}
cat >"$root/builddir/.rpmmacros" <<END
%_topdir /builddir/build
%_rpmfilename %%{NAME}-%%{VERSION}-%%{RELEASE}.%%{ARCH}.rpm
%_host_cpu $arch
%_host $arch-koji-linux-gnu
%vendor Koji
%packager Koji
%distribution Koji Testing
END
cp "$srpm" "$root/builddir/source.src.rpm"
chown -R 1000:135 "$root/builddir"
install "$root" builddep "$srpm"
for _ in 1 2 3 4 5; do
    status=0
    build --target "$arch" --rebuild --nocheck /builddir/source.src.rpm >"$folder/build.log" 2>&1 || status=$?
    [ $status = 11 ] || break # which says that %generate_buildrequires wants more
    install "$root" builddep "$root"/builddir/build/SRPMS/*.buildreqs.nosrc.rpm
    rm "$root"/builddir/build/SRPMS/*.nosrc.rpm
done
[ $status = 0 ] || { tail -n 40 "$folder/build.log"; exit 1; }
