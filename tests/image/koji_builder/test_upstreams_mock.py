"""Upstream's mock beside ours: kojid's calls, what comes of them, and a bootstrap chroot."""

import pytest
from docker.models.containers import Container

from tests.image.koji_builder.buildroots import SRPMS, Buildroot, Maker, bootstrap_of
from tests.image.koji_builder.comparison import OF_THE_MOMENT, build, differences
from tests.image.koji_builder.test_mock_arguments import (  # noqa: F401
    test_a_source_rpm_is_made_of_a_checkout,
    test_a_source_rpm_is_unpacked_and_built_again,
    test_generated_build_requirements_are_installed,
    test_packages_are_installed_and_a_command_runs_as_runroot_does,
    test_rebuild_of_a_source_rpm,
)
from tests.image.koji_builder.test_mock_distributions import (  # noqa: F401
    distribution,
    test_an_rpm_database_in_another_place,
)

RICH = """\
Name: rich
Version: 1
Release: 1
Summary: What a package can have
License: MIT
Requires: bash
BuildRequires: gcc
Source0: rich.conf
%description
A bit of everything.
%package devel
Summary: Another package
BuildArch: noarch
Requires: %{name} = %{version}-%{release}
%description devel
x
%prep
%setup -q -c -T
%build
echo 'int main(void) { return 0; }' > rich.c
gcc -o rich rich.c
%install
install -D rich %{buildroot}/usr/bin/rich
install -D rich.c %{buildroot}/usr/include/rich.c
install -D -m 640 %{SOURCE0} %{buildroot}/etc/rich.conf
ln -s rich %{buildroot}/usr/bin/Übung
mkdir -p %{buildroot}/var/lib/rich
%check
./rich
%post
echo installed
%files
/usr/bin/rich
/usr/bin/Übung
%config(noreplace) /etc/rich.conf
%dir %attr(2770, root, root) /var/lib/rich
%ghost /var/lib/rich/state
%files devel
/usr/include/rich.c
%changelog
* Thu Jan 01 2026 Nobody <nobody@example.com> - 1-1
- First
"""


class Upstreams(Maker):
    """Makes buildroots that ask for a plugin of upstream's mock, one that does not change them."""

    def __call__(self, **options: object) -> Buildroot:
        plugins = {"package_state_enable": True}
        return super().__call__(**{"use_bootstrap": False, "plugin_conf": plugins, **options})


@pytest.fixture
def make(make: Maker) -> Maker:
    """For the tests of ours that are imported above too."""
    return Upstreams(make.container)


@pytest.fixture
def rich(host: Container) -> str:
    """A source RPM of a package with a bit of everything."""
    top = "/tmp/rich"
    buildroot = Buildroot(host, "")
    buildroot.put(f"{top}/SPECS/rich.spec", RICH)
    buildroot.put(f"{top}/SOURCES/rich.conf", "answer=42\n")
    wrote = buildroot.root(f"rpmbuild -bs --define '_topdir {top}' {top}/SPECS/rich.spec")
    return wrote.split("Wrote: ")[1].split()[0]


@pytest.mark.parametrize("package", ["hello", "hello-c", "greeting", "rich"])
def test_both_make_the_same_packages(make: Maker, rich: str, package: str) -> None:
    srpm = rich if package == "rich" else f"{SRPMS}/{package}-1.0-1.src.rpm"
    maker = Maker(make.container)
    first, second, upstreams = (build(buildroot, srpm) for buildroot in (maker(), maker(), make()))
    assert differences(first, second) <= OF_THE_MOMENT
    assert differences(first, upstreams) <= OF_THE_MOMENT


def test_a_bootstrap_chroot_of_upstreams(make: Maker, with_dnf: None) -> None:
    buildroot = make(use_bootstrap=True)
    packages = build(buildroot, f"{SRPMS}/hello-c-1.0-1.src.rpm")
    assert bootstrap_of(buildroot).packages() == "demo-buildroot demo-dnf"
    assert buildroot.packages() == "demo-buildroot demo-gcc"
    expected = build(Maker(make.container)(use_bootstrap=True), f"{SRPMS}/hello-c-1.0-1.src.rpm")
    assert differences(packages, expected) <= OF_THE_MOMENT


def test_an_image_for_a_bootstrap_is_not_replaced_by_another_way(host: Container) -> None:
    buildroot = Maker(host)(bootstrap_image="registry.example.com/image")
    status, output = buildroot.mock("--init")
    assert status != 0
    assert "'/usr/bin/podman' not installed" in output
