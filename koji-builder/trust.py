"""The container's trust in the system's certificate authority."""

from pathlib import Path

from OpenSSL import crypto

from util import certificates, files

BUNDLE = Path("etc/ssl/certs/ca-certificates.crt")
OWN_AUTHORITY = Path("usr/local/share/ca-certificates/koji.crt")


def trust(root: Path, authority: Path) -> None:
    """Trust the authority, or the two of them, in a file, and no longer those of an earlier call.

    dnf, git and curl fetch from the hub, and do not read kojid's `serverca`. This does what
    update-ca-certificates takes a second for, and writes the file that it reads. A container whose
    image was committed from a builder trusts the authority of that builder's system, which is
    removed.
    """
    pem = authority.read_text()
    own = root / OWN_AUTHORITY
    previous = own.read_text() if own.exists() else pem
    bundle = was = (root / BUNDLE).read_text()
    if previous != pem:
        bundle = bundle.replace(previous, "")
        for path in _hashed(root, previous):
            path.unlink(missing_ok=True)
    if pem not in bundle:
        bundle += pem
    if bundle != was:
        files.write(root / BUNDLE, bundle)
    for path, text in _hashed(root, pem).items():
        files.write(path, text)
    # Last: until then it names the authorities to remove.
    files.write(own, pem)


def _hashed(root: Path, pem: str) -> dict[Path, bytes]:
    """The files in which OpenSSL looks for authorities in a folder."""
    contents = {}
    for certificate in certificates.split(pem.encode()):
        number = crypto.X509.from_cryptography(certificate).subject_name_hash()
        contents[root / BUNDLE.parent / f"{number:08x}.0"] = certificates.pem(certificate)
    return contents
