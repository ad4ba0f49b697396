"""Packages that one mock has made, and those of another."""

import json

from tests.image.koji_builder.buildroots import Buildroot
from tests.image.tracked import execute

# Every field of a package's header, by name.
HEADER = """
import json, rpm, sys
transaction = rpm.TransactionSet()
transaction.setVSFlags(-1)
for path in sys.argv[1:]:
    with open(path) as file:
        header = transaction.hdrFromFdno(file)
    fields = {rpm.tagnames.get(tag, str(tag)): repr(header[tag]) for tag in header.keys()}
    print(json.dumps(fields))
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
    names = sorted(buildroot.results())
    paths = [f"{buildroot.path}/result/{name}" for name in names]
    status, output = execute(buildroot.container, "python3", "-c", HEADER, *paths)
    assert status == 0, output
    return dict(zip(names, map(json.loads, output.splitlines()), strict=True))


def differences(one: dict[str, dict[str, str]], other: dict[str, dict[str, str]]) -> set[str]:
    """The fields in which packages of the same names differ."""
    assert one.keys() == other.keys()
    return {
        field
        for name, fields in one.items()
        for field in fields.keys() | other[name].keys()
        if fields.get(field) != other[name].get(field)
    }
