"""Run in a builder: pack its own dnf as an RPM, for bootstrap chroots that need no distribution.

Beside it is the demo's buildroot.py, and it prints the path of demo-dnf-12-1.x86_64.rpm.
"""

import tempfile
from pathlib import Path

import buildroot

RECIPE = buildroot.Recipe(
    "demo-dnf",
    "The builder's own dnf",
    ("dnf", "dnf-data", "dnf-plugins-core", "libdnf2-common", "libpython3*-minimal",
     "libpython3*-stdlib", "python3", "python3-minimal", "python3.*-minimal", "python3-dateutil",
     "python3-dbus", "python3-dnf*", "python3-gpg", "python3-hawkey", "python3-libcomps",
     "python3-libdnf", "python3-rpm", "python3-six", "python3-systemd"),
    ("python3-dnf", "python3-dnf-plugins-core"),
    ("demo-buildroot",),
)  # fmt: skip


def main() -> None:
    """Pack it, without what the demo's buildroot has."""
    base = buildroot.gather(buildroot.BUILDROOT, set())
    files = buildroot.gather(RECIPE, base)
    # libcomps of moromi.yml.
    files |= {path for path in Path("/usr/local/lib").rglob("*") if path.is_file()}
    libraries = map(Path, buildroot.libraries(map(str, files)))
    files |= {buildroot.resolve_parent(path) for path in libraries} - base
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        tree = work / "tree"
        buildroot.stage(tree, files)
        # Debian's dnf trusts this file. mock puts the hub's authority where a distribution's
        # ca-certificates would find it.
        trusted = tree / "etc/ssl/certs/ca-certificates.crt"
        trusted.parent.mkdir(parents=True, exist_ok=True)
        trusted.unlink(missing_ok=True)
        trusted.symlink_to("/etc/pki/ca-trust/source/anchors/koji.crt")
        print(buildroot.pack(RECIPE, tree, work, Path(__file__).parent))


if __name__ == "__main__":
    main()
