"""Builds that would stop a builder, or leave its chroot: those of other people go on."""

import base64
from pathlib import Path

import koji
import pytest

from nagoya.engine import connect
from nagoya.koji.builds import upload
from tests.image.koji_builder.buildroots import spec
from tests.image.tracked import execute, wait_until
from tests.system.building import make_srpm, sources, state, uploaded
from tests.system.conftest import Koji

STUBBORN = r"""
%build
trap '' INT TERM
for number in $(seq 100); do (exec -a $'\xff)\n' sleep 3000) & done
wait
"""
# Runs where kojid makes another source RPM of an uploaded one, as root in its chroot.
ODD_FILES = """
%(cd /chroot_tmpdir 2>/dev/null && mkdir -p srpm_unpacked/SRPMS && cd srpm_unpacked/SRPMS &&
  truncate -s 1T hole.src.rpm && mkfifo pipe.src.rpm && touch "$(printf 'bell\\a.src.rpm')" &&
  mkfifo /var/lib/rpm/rpmdb.sqlite-journal)
"""


def count_sleepers(site: Koji) -> int:
    builder = connect().client.containers.get(f"{site.system}-kojibuilder")
    return int(execute(builder, "sh", "-c", "grep -ls 300[0] /proc/*/cmdline | wc -l")[1])


def test_a_build_that_ignores_signals_ends_when_it_is_canceled(
    seeded: Koji, tmp_path: Path
) -> None:
    """kojid would signal each of its processes and wait three seconds for it, and could not read
    the arguments of these."""
    session = seeded.session()
    srpm = make_srpm(seeded, spec("stubborn", STUBBORN), tmp_path)
    task = session.build(upload(session, srpm), "demo", {"scratch": True})
    wait_until(lambda: count_sleepers(seeded) >= 100, 120, "its processes run")
    session.cancelTask(task)
    wait_until(lambda: not count_sleepers(seeded), 30, "its processes are gone")
    source = uploaded(session, sources(seeded, "hello"), tmp_path)
    assert state(session, session.build(source, "demo", {"scratch": True})) == "CLOSED"


def test_odd_files_where_a_source_rpm_is_made_stop_nothing(seeded: Koji, tmp_path: Path) -> None:
    session = seeded.session()
    srpm = make_srpm(seeded, ODD_FILES + spec("odd", ""), tmp_path)
    task = session.build(upload(session, srpm), "demo", {"scratch": True})
    assert state(session, task) == "CLOSED", session.getTaskResult(task)


def test_a_source_is_a_file_below_the_uploads(seeded: Koji) -> None:
    session = seeded.session()
    session.uploadFile("m", "evil", 4, None, 0, base64.b64encode(b"evil").decode())
    outside = "m/evil?/" + "../" * 14 + "tmp/evil-folder/file"
    task = session.build(outside, "demo", {"scratch": True})
    assert state(session, task) == "FAILED"
    with pytest.raises(koji.GenericError, match="the hub has no file of such a path"):
        session.getTaskResult(task)
    builder = connect().client.containers.get(f"{seeded.system}-kojibuilder")
    assert execute(builder, "test", "-e", "/tmp/evil-folder")[0] == 1
