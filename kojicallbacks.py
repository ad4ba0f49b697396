"""What Koji adds to toji's events: credentials out to the host, a client profile, addresses.

moromi.yml names these functions; toji calls each with the container that the event is about
(`nagoya.system.container.SystemContainer`). For a system S they write, in its owner's home folder:

    ~/.koji/config.d/nagoya-S.conf    the profile `nagoya-S` of the koji client
    ~/.koji/nagoya/S/                 kojiadmin's credentials, the CA's certificate, koji.json
"""

import configparser
import io
import json
import shutil
from pathlib import Path

from nagoya.errors import LifecycleError
from nagoya.system.container import SystemContainer
from nagoya.utils import files

PKI = "/etc/pki/koji"
CA = "koji_ca_cert.crt"
USER = "kojiadmin"
CREDENTIALS = (CA, f"{USER}.pem", f"{USER}_browser_cert.p12")
BROWSER_PASSWORD = "koji"
"""Of the PKCS#12 file; some systems refuse to import one without a password."""

_OURS = "# Written by toji for the system '{}'; `toji remove` takes it away again."


def credentials_folder(member: SystemContainer) -> Path:
    """Where a system's credentials lie on the host."""
    return member.home / ".koji" / "nagoya" / member.system


def profile_name(system: str) -> str:
    """The koji client's profile for a system, as in `koji -p nagoya-koji hello`."""
    return f"nagoya-{system}"


def profile_file(member: SystemContainer) -> Path:
    """The file that holds the profile, and nothing else."""
    return member.home / ".koji" / "config.d" / f"{profile_name(member.system)}.conf"


def extract_credentials(member: SystemContainer) -> None:
    """Copy what a client needs out of the credentials volume, readable by its owner alone."""
    folder = credentials_folder(member)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name in CREDENTIALS:
        files.write(folder / name, member.read_file(f"{PKI}/{name}"))


def cleanup_credentials(member: SystemContainer) -> None:
    """Remove what `extract_credentials` and `update_config_profile` put on the host."""
    shutil.rmtree(credentials_folder(member), ignore_errors=True)


def show_network(member: SystemContainer) -> None:
    """Tell the address that a container has on the system's own network."""
    member.log(f"{member.name} is {member.state().address} on the network {member.system}")


def show_kojiweb_url(member: SystemContainer) -> None:
    """Tell where a browser finds kojiweb, and what to log in with."""
    browser = credentials_folder(member) / f"{USER}_browser_cert.p12"
    member.log(f"kojiweb: {urls(member)['web']}")
    member.log(f"  to log in there: {browser} (password: {BROWSER_PASSWORD})")


def update_config_profile(member: SystemContainer) -> None:
    """Write the koji client's profile, and beside the credentials all of it as JSON.

    Raises LifecycleError where a file of that name is not ours.
    """
    folder = credentials_folder(member)
    where, name = urls(member), profile_name(member.system)
    path = profile_file(member)
    if path.exists() and not _is_ours(path, member.system):
        raise LifecycleError(
            f"{path} was not written by toji", "move it away, or choose another --system"
        )
    profile = configparser.ConfigParser(interpolation=None)
    profile[name] = {
        "server": where["hub"],
        "weburl": where["web"],
        "topurl": where["files"],
        "authtype": "ssl",
        "cert": str(folder / f"{USER}.pem"),
        "serverca": str(folder / CA),
    }
    text = io.StringIO(_OURS.format(member.system) + "\n")
    text.seek(0, io.SEEK_END)
    profile.write(text)
    files.write(path, text.getvalue().encode(), mode=0o644)
    description = {
        "system": member.system,
        "profile": name,
        "urls": where,
        "ca": str(folder / CA),
        "user": USER,
        "certificate": str(folder / f"{USER}.pem"),
        "browser_certificate": str(folder / f"{USER}_browser_cert.p12"),
        "browser_password": BROWSER_PASSWORD,
    }
    files.write(folder / "koji.json", json.dumps(description, indent=2).encode() + b"\n")
    member.log(f"koji client: koji -p {name} hello")


def remove_config_profile(member: SystemContainer) -> None:
    """Remove the profile that `update_config_profile` wrote; another's stays."""
    path = profile_file(member)
    if _is_ours(path, member.system):
        path.unlink()


def urls(member: SystemContainer) -> dict[str, str]:
    """Where the host reaches the hub (`hub`), kojiweb (`web`) and Koji's files (`files`)."""
    port = member.state().ports.get(443)
    if port is None:
        raise LifecycleError(
            f"{member.name} publishes no port 443, so no client on this machine reaches it",
            f"give it `ports: [443]` in moromi.yml, and `toji --system {member.system} remove` "
            "before the next init",
        )
    root = f"https://127.0.0.1:{port}"
    return {"hub": f"{root}/kojihub", "web": f"{root}/koji", "files": f"{root}/kojifiles"}


def _is_ours(path: Path, system: str) -> bool:
    return path.exists() and path.read_text().startswith(_OURS.format(system))
