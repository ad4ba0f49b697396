"""Packages that one mock has made, and those of another."""

import json

from docker.models.containers import Container

from tests.image.koji_builder.buildroots import Buildroot
from tests.image.tracked import execute

# Every field of the headers of packages: {file name: {field: value}}.
HEADER = """
import glob, json, os, rpm, sys
transaction = rpm.TransactionSet()
transaction.setVSFlags(-1)
found = {}
for path in glob.glob(sys.argv[1]):
    with open(path) as file:
        header = transaction.hdrFromFdno(file)
    fields = {rpm.tagnames.get(tag, str(tag)): repr(header[tag]) for tag in header.keys()}
    found[os.path.basename(path)] = fields
print(json.dumps(found))
"""
# What two builds of the same mock do not have in common either.
OF_THE_MOMENT = {
    "BUILDTIME", "COOKIE", "FILEMTIMES", "PAYLOADDIGEST", "PAYLOADDIGESTALT", "SHA1HEADER",
    "SHA256HEADER", "SIGMD5", "SIGSIZE",
}  # fmt: skip


def build(buildroot: Buildroot, srpm: str) -> dict[str, dict[str, str]]:
    """Initialise, rebuild; the headers of the results by file name."""
    buildroot.initialise()
    status, output = buildroot.mock("--no-clean", "--target", "x86_64", "--rebuild", srpm)
    assert status == 0, output + buildroot.log("build")
    return read_headers(buildroot.container, f"{buildroot.path}/result/*.rpm")


def read_headers(container: Container, pattern: str) -> dict[str, dict[str, str]]:
    """The headers of the RPMs in a container whose paths match a pattern, by file name."""
    status, output = execute(container, "python3", "-c", HEADER, pattern)
    assert status == 0, output
    return dict(json.loads(output))


def differences(first: dict[str, dict[str, str]], second: dict[str, dict[str, str]]) -> set[str]:
    """The fields in which packages of the same names differ."""
    assert first
    assert first.keys() == second.keys()
    return {
        field
        for name, fields in first.items()
        for field in fields.keys() | second[name].keys()
        if fields.get(field) != second[name].get(field)
    }
