"""A bootstrap chroot: the dnf and rpm of the repository install the buildroot.

The repository's dnf is the builder's own, as a package.
"""

import pytest

from tests.image.koji_builder.buildroots import SRPMS, Maker, bootstrap_of
from tests.image.koji_builder.comparison import OF_THE_MOMENT, build, differences


@pytest.mark.slow
def test_packages_are_those_that_come_without_a_bootstrap(make: Maker, with_dnf: None) -> None:
    buildroot = make(use_bootstrap=True)
    srpm = f"{SRPMS}/hello-c-1.0-1.src.rpm"
    packages = build(buildroot, srpm)
    assert bootstrap_of(buildroot).packages() == "demo-buildroot demo-dnf"
    assert buildroot.packages() == "demo-buildroot demo-gcc"
    assert differences(packages, build(make(), srpm)) <= OF_THE_MOMENT


def test_it_is_the_bootstraps_dnf_that_runs(make: Maker, with_dnf: None) -> None:
    """And it has no more power than root in a chroot."""
    buildroot = make(use_bootstrap=True).initialise()
    dnf = f"{bootstrap_of(buildroot).path}/root/usr/bin/dnf-3"
    commands = "grep CapEff /proc/self/status; touch /var/lib/mock/x; ls /usr/share/nagoya"
    buildroot.put(dnf, f"#!/bin/sh\n{commands}; exit 7\n")
    buildroot.root(f"chmod +x {dnf}")
    assert buildroot.mock("--install", "gcc")[0] == 30
    log = buildroot.log("root")
    assert f"CapEff:\t{0x880400FB:016x}" in log
    assert "cannot access '/usr/share/nagoya'" in log
    assert "x" not in buildroot.root("ls /var/lib/mock").split()


def test_a_repository_without_dnf_makes_no_bootstrap(make: Maker) -> None:
    buildroot = make(use_bootstrap=True)
    assert buildroot.mock("--init")[0] == 30
    log = buildroot.log("root")
    assert "python3-dnf" in log
    assert "the bootstrap chroot could not be made" in log
