"""A command's environment in mock's chroot: configuration, devices, network."""

import pytest

from tests.image.koji_builder.buildroots import DEMO, Maker


def test_the_configuration_is_followed(make: Maker) -> None:
    buildroot = make(
        use_host_resolv=True,
        internal_dev_setup=True,
        bind_opts={"dirs": {DEMO: "/credentials/of/scm"}},
        tag_macros={"%lucky": "seven"},
        tag_envvars={"LUCKY": "yes"},
        maven_opts=["-Xmx1g"],
    ).initialise()
    status, output = buildroot.mock(
        "--chroot",
        "ls /credentials/of/scm; rpm --eval %lucky; echo $LUCKY; cat /etc/mavenrc /etc/hosts",
    )
    assert status == 0
    for line in ("srpms", "seven", "yes", 'export MAVEN_OPTS="-Xmx1g"'):
        assert line in output.splitlines()
    assert buildroot.root("hostname").strip() in output
    assert buildroot.root("cat /etc/resolv.conf") in buildroot.root(
        f"cat {buildroot.path}/root/etc/resolv.conf"
    )


@pytest.mark.parametrize("words", [("--unpriv", "--chroot"), ("--chroot",)])
def test_a_command_has_the_devices_that_it_expects(make: Maker, words: tuple[str, ...]) -> None:
    buildroot = make().initialise()
    script = """set -e
    echo to stdout > /dev/stdout; echo to stderr > /dev/stderr; cat <(echo by a pipe)
    head -c 4 /dev/urandom > /dev/null; touch /dev/shm/x; ! read -t 1 line
    test -r /proc/self/status; test -d /sys/class; : > /proc/self/comm"""
    status, output = buildroot.mock(*words, "--", "bash", "-c", script)
    assert status == 0, output
    for line in ("to stdout", "to stderr", "by a pipe"):
        assert line in output.splitlines()
        assert line in buildroot.log("root").splitlines()


def test_a_narrow_architecture_has_its_personality(make: Maker) -> None:
    buildroot = make().initialise()
    assert "i686" in buildroot.mock("--arch", "i686", "--chroot", "uname -m")[1]
    assert "x86_64" in buildroot.mock("--chroot", "uname -m")[1]


@pytest.mark.parametrize("networking", [False, True])
def test_a_build_has_a_network_only_if_it_is_to_have_one(make: Maker, networking: bool) -> None:
    buildroot = make(use_host_resolv=networking).initialise()
    for words in (("--unpriv", "--chroot"), ("--chroot",)):
        interfaces = buildroot.mock(*words, "tail -n +3 /proc/net/dev | cut -d: -f1")[1].split()
        assert ("eth0" in interfaces) == networking
        listen = "exec 3<>/dev/tcp/127.0.0.1/9; true"
        assert "Connection refused" in buildroot.mock(*words, "--", "bash", "-c", listen)[1]


def test_a_chroot_has_the_fuse_and_loop_devices_of_its_container(make: Maker) -> None:
    """The machine may have none, so /dev/fuse is another /dev/null here."""
    buildroot = make()
    buildroot.root("mknod -m 666 /dev/fuse c 1 3; mknod /dev/loop9 b 7 9; mknod /dev/sda b 8 0")
    try:
        buildroot.initialise()
        script = "test -c /dev/fuse -a -b /dev/loop9 && ! test -e /dev/sda && echo x > /dev/fuse"
        for words in (("--unpriv", "--chroot"), ("--chroot",)):
            status, output = buildroot.mock(*words, script)
            assert status == 0, output
        assert "Read-only file system" in buildroot.mock("--chroot", "chmod 0 /dev/fuse")[1]
    finally:
        buildroot.root("rm /dev/fuse /dev/loop9 /dev/sda")
    assert buildroot.mock("--chroot", "test -e /dev/fuse")[0] != 0
