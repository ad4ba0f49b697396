"""A plugin for upstream's mock: the chroot's own rpm finds what the builder's rpm has installed.

The builder's rpm has its database in /var/lib/rpm. Newer distributions have theirs in
/usr/lib/sysimage/rpm, where kojid looks first since Koji 1.32. Their own rpm would find nothing;
and since mock reads its errors with its answers, it could take one for the name of a spec file. The
folder becomes a link, as in Nagoya's mock (packages.py there). That is done in the chroot, where no
link that a package has planted leads out.
"""

from typing import Any

requires_api_version = "1.1"

SHARE = """
place=$(rpm --eval %_dbpath)
[ "$place" = /usr/lib/sysimage/rpm ] && [ -e /var/lib/rpm/rpmdb.sqlite ] || exit 0
[ /var/lib/rpm/rpmdb.sqlite -ef "$place/rpmdb.sqlite" ] && exit 0
rm -rf "$place"
mkdir -p "${place%/*}"
ln -s ../../../var/lib/rpm "$place"
"""


def init(plugins: Any, conf: Any, buildroot: Any) -> None:
    """Called by mock for each chroot."""

    def share_database() -> None:
        buildroot.doChroot(["/bin/sh", "-c", SHARE], shell=False, raiseExc=False)

    plugins.add_hook("postinit", share_database)
