"""docs/signing.md with the Koji under test, and then the same packages with another key."""

import json
import re
from pathlib import Path

from nagoya.config.declaration import Declaration
from nagoya.engine import connect, containers
from nagoya.engine.exec import execute
from tests.system.conftest import Koji

SIGN_AGAIN = """
```sh
signer gpg --batch --passphrase '' --quick-generate-key second@example.com rsa3072 sign
signer rpmsign --define '_gpg_name second@example.com' --resign *.rpm
signer koji -p nagoya-koji import-sig *.rpm
second=$(signer gpg --list-keys --with-colons second@example.com \
    | awk -F: '/^pub/ {print tolower(substr($5, 9))}')
koji -p nagoya-koji dist-repo --wait demo-release "$second"
echo "$second" > second
```
"""

# Whether each repository of a tag lists its packages with the checksums that they have.
CHECKSUMS = r"""
import gzip, hashlib, json, pathlib, re
listed = []
for repo in sorted(pathlib.Path("/mnt/koji/repos-dist/demo-release").glob("[0-9]*/x86_64")):
    primary, = repo.glob("repodata/*primary.xml.gz")
    for package in gzip.open(primary, "rt").read().split("<package ")[1:]:
        checksum = re.search(r'<checksum type="sha256" pkgid="YES">(\w+)', package)[1]
        path = repo / re.search(r'<location href="([^"]+)', package)[1]
        real = hashlib.sha256(path.read_bytes()).hexdigest()
        listed.append([str(path.relative_to(repo)), checksum == real])
print(json.dumps(listed))
"""

# Which of these repositories have the signatures of the key on stdin.
CHECK_SIGNATURES = r"""
mkdir /tmp/keys && cat >/tmp/keys/key && rpm --root /tmp/keys --import /tmp/keys/key
rpmkeys --root /tmp/keys --checksig --define '_pkgverify_level signature' \
    /mnt/koji/repos-dist/demo-release/[0-9]*/x86_64/Packages/h/*.rpm
"""


def test_signed_packages_become_a_repository(
    seeded: Koji, checkout: Path, declaration: Declaration, tmp_path: Path
) -> None:
    page = (checkout / "docs/signing.md").read_text() + SIGN_AGAIN
    script = "\n".join(re.findall(r"^```sh\n(.*?)^```", page, re.M | re.S))
    for old, new in (
        # Other tests tag other builds, which have no signature.
        (
            "add-tag --parent=demo-candidate --arches=x86_64 demo-release\n",
            "add-tag --arches=x86_64 demo-release\n"
            "koji -p nagoya-koji add-pkg --owner=kojiadmin demo-release hello\n"
            "koji -p nagoya-koji call tagBuildBypass demo-release hello-1.0-1.demo\n",
        ),
        ("nagoya-koji", f"nagoya-{seeded.system}"),
        (' koji-builder "$@"', f' {declaration.containers["kojibuilder"].image} "$@"'),
    ):
        assert old in script
        script = script.replace(old, new)
    seeded.run("bash", "-euxc", f"cd {tmp_path}\n{script}")
    session = seeded.session()
    (rpm,) = (
        entry for entry in session.listBuildRPMs("hello-1.0-1.demo") if entry["arch"] != "src"
    )
    keys = {signature["sigkey"] for signature in session.queryRPMSigs(rpm["id"])} - {""}
    assert len(keys) == 2
    # Koji up to 1.33 takes the checksums of files of these names from the former repository.
    fresh = session.getKojiVersion() >= "1.34"
    name = "Packages/h/hello-1.0-1.demo.noarch.rpm"
    listed = seeded.toji("exec", "koji", "python3", "-c", CHECKSUMS).stdout
    assert json.loads(listed) == [[name, True], [name, fresh]]
    if not fresh:
        # The setting that docs/signing.md names.
        configure(seeded, "printf '[kojid]\\ncreaterepo_skip_stat = False\\n' >$0")
        second = (tmp_path / "second").read_text().strip()
        seeded.client("dist-repo", "--wait", "demo-release", second)
        configure(seeded, "rm $0")
        listed = seeded.toji("exec", "koji", "python3", "-c", CHECKSUMS).stdout
        assert json.loads(listed)[-1] == [name, True]
    builder = containers.get(connect(), f"{seeded.system}-kojibuilder")
    key = (tmp_path / "RPM-GPG-KEY-demo").read_bytes()
    command = ["sh", "-c", CHECK_SIGNATURES]
    _, output = execute(builder, command, seconds=60, input=key)
    assert re.findall("digests (.+)", output)[:2] == ["signatures OK", "SIGNATURES NOT OK"]


def configure(site: Koji, command: str) -> None:
    """Change a file of the builder's own configuration, $0 in the command."""
    path = "/etc/kojid/kojid.conf.d/of-a-test.conf"
    site.toji("exec", "kojibuilder", "sh", "-c", command, path)
    site.toji("restart", "kojibuilder")
