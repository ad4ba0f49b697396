"""Adapt Koji's and Debian's programs to each other, while the image is built."""

import os
import pwd
import re
import sys
from pathlib import Path

from util import entry, files

MOCK_USER = "kojibuilder"
# Where a site mounts its own files.
SITE_FOLDERS = ("etc/kojid/kojid.conf.d", "usr/local/lib/koji-builder-plugins")

# Debian's rpm keeps its database in the caller's home; kojid reads a buildroot's in /var/lib/rpm.
MACROS = "%_dbpath %{_var}/lib/rpm\n"

KOJID = Path("usr/sbin/kojid")
DAEMON = Path("usr/lib/python3/dist-packages/koji/daemon.py")
# How kojid up to 1.36.0 settles the path of a source's URL, and how it should: a server decodes
# %2e%2e to `..`, so that kojid has to do it before it compares the path with allowed_scms.
SETTLED = "path = os.path.normpath(path)"
DECODED = """path = urllib.parse.quote(
            os.path.normpath(urllib.parse.unquote(path)), safe="/!$&'()*+,:=@")"""
# The parts of such a URL become arguments of git, svn and cvs, and names of folders. A branch is
# also named origin/BRANCH, of which kojid takes the second part. Other programs than Python could
# see another host than kojid has compared with allowed_scms: before they look for it, git decodes
# all of a URL (git://HOST%2f@ALLOWED/), unless it is one for curl, and it looks into brackets.
PARSED = """        # return parsed values
"""
CHECKED_PARTS = """        parts = [user or "", netloc] + query.split("/") + fragment.split("/")
        for part in parts:
            if part.startswith("-") or part == "..":
                raise koji.GenericError("Invalid SCM URL: a part of it is %r" % part)
        if query.startswith("/"):
            raise koji.GenericError("Invalid SCM URL: %r is no path in a repository" % query)
        host = r"([\\w.-]*|\\[[0-9a-fA-F:.]+\\])(:\\d*)?\\Z"
        coded = "%" in (password or "") and not scheme.endswith(("http://", "https://"))
        if re.search(r"[^\\w.~+$-]", user or "") or not re.match(host, netloc) or coded:
            raise koji.GenericError("Invalid SCM URL: its user or host has other characters")
"""
# How kojid asks for the commit that it has checked out, in the folder of the module, and how it
# should: a folder of the repository can look like a bare one, with a commit of any number. Such a
# build fails.
COMMIT = "cmd = ['git', 'rev-parse', 'HEAD']"
OWN_COMMIT = "cmd = ['git', '-c', 'safe.bareRepository=explicit', 'rev-parse', 'HEAD']"
# kojid itself reads the spec file that it has checked out. That of a small repository can have
# gigabytes, or be a link to a device; if memory ran out, the kernel would kill builds first
# (kill_checkouts_first.py).
SPEC = """        spec = koji._open_text_file(filename).read()
"""
SHORT_SPEC = """        if not os.path.isfile(filename):
            raise koji.BuildError("the spec file is not a regular file")
        with koji._open_text_file(filename) as spec_file:
            spec = spec_file.read((1 << 24) + 1)
        if len(spec) > 1 << 24:
            raise koji.BuildError("the spec file is longer than 16 MiB")
"""
# A source's URL can name a folder of a repository that is not there, or a link in a chroot, which
# kojid does not follow. kojid ends with a traceback where it asks for the commit.
CHECKED_OUT = """        self.sourcedir = sourcedir
        return sourcedir
"""
WITH_FOLDER = """        if not os.path.isdir(sourcedir):
            raise koji.BuildError("the repository has no folder %r" % self.module)
"""
LIBRARY = Path("usr/lib/python3/dist-packages/koji/__init__.py")
# Up to 1.30, what a server answers about a file that it does not have is taken for the file.
DOWNLOADED = """    if resp.headers.get('Content-Length') and fo.tell() !="""
CHECKED_STATUS = """    resp.raise_for_status()
"""
TASKS = Path("usr/lib/python3/dist-packages/koji/tasks.py")
# Where kojid keeps its copy of a file of the hub. It makes missing folders, as root, and users name
# the file: of a build's source, for one. A server ignores what is behind `?` or `#`.
LOCAL_PATH = """        if self.options.topurl:
            fn = "%s/local/%s" % (self.workdir, relpath)
"""
CHECKED_PATH = """        if set(relpath) & set("?#%") or ".." in relpath.split("/"):
            raise koji.GenericError("the hub has no file of such a path: %r" % relpath)
"""
# kojid up to 1.31 reads the rpm database only here, where Fedora has a link. mock refuses links to
# kojid, so this names what the link leads to.
DATABASE = '"%s/var/lib/rpm" % self.rootdir())'
LINKED = """"%s/var/lib/rpm" % self.rootdir() if not os.path.islink(
            "%s/var/lib/rpm" % self.rootdir()) else "%s/usr/lib/sysimage/rpm" % self.rootdir())"""

# How kojid takes a source RPM out of a chroot, and how it should: of a pipe of that name it would
# wait for the other end.
SOURCES = "for fn in glob.glob('%s/*.src.rpm' % result_dir):"
REGULAR = "for fn in filter(os.path.isfile, glob.glob('%s/*.src.rpm' % result_dir)):"

# kojid's copy of its log. The engine keeps the log, and limits its size, which kojid does not.
LOG = Path("var/log/kojid.log")

# createrepo_c before 1.0 reads no zstd. Its mergerepo_c then leaves out the packages of that
# repository, and ends with status 0, which is all that kojid looks at.
REPOSITORY_PROGRAMS = ("usr/bin/createrepo_c", "usr/bin/mergerepo_c")
CHECKED = """#!/bin/bash
# Run the program, and fail if it reports a critical error.
set -o pipefail
"$0.unchecked" "$@" 2>&1 |
    awk '{ print; fflush() } /(^|: )Critical: / { failed = 1 } END { exit failed }'
"""


def insert(path: Path, lines: str, *, before: str) -> None:
    """Insert lines into a file of Koji's, unless it has them."""
    text = path.read_text()
    if lines not in text:
        files.write(path, text.replace(before, lines + before))


def decode_scm_paths(root: Path) -> None:
    """Let kojid decode the path of a source's URL before it checks it, unless it does so itself."""
    path = root / DAEMON
    text = path.read_text()
    if "unquote(" not in text:
        files.write(path, text.replace(SETTLED, DECODED))


def check_scm_parts(root: Path) -> None:
    """Let kojid refuse a source's URL with a part that would be an option, or lead elsewhere."""
    insert(root / DAEMON, CHECKED_PARTS, before=PARSED)


def require_folders(root: Path) -> None:
    """Let kojid name the folder of a source that is not in its repository."""
    insert(root / DAEMON, WITH_FOLDER, before=CHECKED_OUT)


def require_downloads(root: Path) -> None:
    """Let a download fail if the server has no such file, unless it does so already."""
    insert(root / LIBRARY, CHECKED_STATUS, before=DOWNLOADED)


def find_own_commit(root: Path) -> None:
    """Let kojid name the commit of what it has checked out, and of no repository inside."""
    path = root / DAEMON
    files.write(path, path.read_text().replace(COMMIT, OWN_COMMIT))


def limit_specs(root: Path) -> None:
    """Let kojid refuse a spec file that is too long to be read."""
    path = root / KOJID
    files.write(path, path.read_text().replace(SPEC, SHORT_SPEC), mode=0o755)


def check_local_paths(root: Path) -> None:
    """Let kojid refuse the path of a file of the hub that leads out of the hub's folders."""
    insert(root / TASKS, CHECKED_PATH, before=LOCAL_PATH)


def find_rpm_database(root: Path) -> None:
    """Let kojid read the rpm database of a chroot where it is, unless it does so itself."""
    path = root / KOJID
    text = path.read_text()
    if LINKED not in text:
        files.write(path, text.replace(DATABASE, LINKED), mode=0o755)


def take_regular_files(root: Path) -> None:
    """Let kojid take source RPMs out of a chroot only if they are regular files."""
    path = root / KOJID
    files.write(path, path.read_text().replace(SOURCES, REGULAR), mode=0o755)


def compress_with_gzip(root: Path) -> None:
    """Let kojid's repositories be compressed with gzip, as they were before createrepo_c 1.0.

    Its zstd is more than yum and older libraries can read, such as those in a buildroot of EL 7.
    """
    path = root / KOJID
    text = path.read_text()
    if "--general-compress-type" in text:
        return
    text = text.replace("'--error-exit-val'", "'--error-exit-val', '--general-compress-type=gz'")
    text = re.sub(
        r"(?<=\['/usr/bin/mergerepo_c', )(?='--(koji|pkgorigins)')", "'--compress-type=gz', ", text
    )
    files.write(path, text, 0o755)


def check_repositories(root: Path) -> None:
    """Let the programs that make repositories fail if they report that they could not."""
    for name in REPOSITORY_PROGRAMS:
        path = root / name
        if path.read_bytes() != CHECKED.encode():
            path.rename(f"{path}.unchecked")
            files.write(path, CHECKED, 0o755)


def keep_no_log(root: Path) -> None:
    """Let kojid log to stderr alone: it writes no log to what is not a regular file."""
    (root / LOG).unlink(missing_ok=True)
    (root / LOG).symlink_to("/dev/null")


def make_folders(root: Path, gid: int) -> None:
    """Make the site's folders, and those that kojid and mock share. `gid` is the group mock.

    kojid takes no task without mock's folder, whose free space it checks.
    """
    for folder in SITE_FOLDERS:
        (root / folder).mkdir(parents=True, exist_ok=True)
    # Root alone may write to /var/lib/mock: anyone else could replace a buildroot by a link.
    for folder in ("etc/mock/koji", "etc/rpm", "var/lib/mock"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    cache = root / "var/cache/mock"
    cache.mkdir(parents=True, exist_ok=True)
    os.chown(cache, 0, gid)
    # setgid: new files belong to the group too.
    cache.chmod(0o2775)


def main() -> int:
    """Set up the image; see the functions above."""
    root = Path("/")
    account = pwd.getpwnam(MOCK_USER)
    make_folders(root, account.pw_gid)
    files.write(root / "etc/rpm/macros.koji", MACROS)
    decode_scm_paths(root)
    check_scm_parts(root)
    require_folders(root)
    require_downloads(root)
    find_own_commit(root)
    limit_specs(root)
    check_local_paths(root)
    find_rpm_database(root)
    take_regular_files(root)
    compress_with_gzip(root)
    check_repositories(root)
    keep_no_log(root)
    return 0


if __name__ == "__main__":
    sys.exit(entry.run("koji-builder", main))
