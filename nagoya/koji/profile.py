"""How programs on the host reach a system's Koji. `toji init` writes it.

For a system S, in the home folder of the system's owner:

    ~/.koji/config.d/nagoya-S.conf    the profile `nagoya-S` of the koji client
    ~/.koji/nagoya/S/                 credentials (see credentials.py), and koji.json

koji.json has the same for other programs: `system`, `hub` (the hub's container), `profile`, `urls`
(see Profile), `ca`, `user`, `certificate`, `browser_certificate` and `browser_password`.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from nagoya.config.values import bracketed
from nagoya.engine.state import State
from nagoya.errors import LifecycleError
from nagoya.system.container import SystemContainer
from nagoya.system.system import System, require_system
from nagoya.utils import files

ADMIN = "kojiadmin"
CA = "koji_ca_cert.crt"
BROWSER_PASSWORD = "koji"
"""Of the PKCS#12 files; some systems refuse to import one without a password."""

_RETRIES = {"max_retries": 5, "retry_interval": 2}
"""The client's own, 30 retries every 20 s, hide for ten minutes that a system is stopped."""
UPLOAD_BLOCKSIZE = 16 << 20
"""Bytes in a request of an upload; the hub takes 32 MiB. With the client's own, 1 MiB, an upload
takes twice as long."""
_HEADER = "# Written by toji for the system '{}'"


@dataclass(frozen=True)
class Profile:
    """Where a system's Koji is, and which files to log in with.

    `home` is the folder whose .koji/ holds them; `hub` is the hub's host name in the system.
    `urls` has `hub`, `web` (kojiweb), `files` (the top directory, by HTTPS) and `topurl`, from
    which the koji client downloads. Without them it still names the files.
    """

    system: str
    home: Path
    hub: str = ""
    urls: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def load(cls, system: System) -> "Profile":
        """Read what `save` wrote for a system. Raises LifecycleError if it cannot be read."""
        profile = cls(system.name, system.owner.home)
        path = profile.folder / "koji.json"
        try:
            saved = json.loads(path.read_text())
            return cls(profile.system, profile.home, saved["hub"], saved["urls"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            require_system(system.engine, system.name)
            raise LifecycleError(
                f"the client profile of '{system.name}' cannot be read: {path}: {error!r}",
                f"`toji --system {system.name} init` writes it; "
                "a system that another user made has it in that user's home",
            ) from None

    @property
    def name(self) -> str:
        """The profile's name, as in `koji -p nagoya-koji hello`."""
        return f"nagoya-{self.system}"

    @property
    def config(self) -> Path:
        """The koji client's configuration file, which holds this profile and nothing else."""
        return self.home / ".koji" / "config.d" / f"{self.name}.conf"

    @property
    def folder(self) -> Path:
        """The folder with the system's credentials."""
        return self.home / ".koji" / "nagoya" / self.system

    @property
    def ca(self) -> Path:
        """The certificate of the authority that issued the hub's certificate."""
        return self.folder / CA

    def certificate(self, user: str = ADMIN) -> Path:
        """A user's key and certificate in one file."""
        return self.folder / f"{user}.pem"

    def browser_certificate(self, user: str = ADMIN) -> Path:
        """The same for a browser, as PKCS#12."""
        return self.folder / f"{user}_browser_cert.p12"

    def save(self) -> None:
        """Write the client's profile and koji.json.

        Raises LifecycleError if another program wrote a file of the profile's name.
        """
        if self.config.exists() and not self._is_saved():
            raise LifecycleError(
                f"{self.config} was not written by toji", "move it away, or choose another --system"
            )
        options = {
            "server": self.urls["hub"],
            "weburl": self.urls["web"],
            "topurl": self.urls["topurl"],
            "authtype": "ssl",
            "cert": self.certificate(),
            "serverca": self.ca,
            "upload_blocksize": UPLOAD_BLOCKSIZE,
            **_RETRIES,
        }
        lines = [f"{_HEADER.format(self.system)}; `toji remove` deletes it.", f"[{self.name}]"]
        lines += [f"{name} = {value}" for name, value in options.items()]
        files.write(self.config, "\n".join([*lines, ""]).encode(), mode=0o644)
        description = {
            "system": self.system,
            "hub": self.hub,
            "profile": self.name,
            "urls": self.urls,
            "ca": self.ca,
            "user": ADMIN,
            "certificate": self.certificate(),
            "browser_certificate": self.browser_certificate(),
            "browser_password": BROWSER_PASSWORD,
        }
        content = json.dumps(description, indent=2, default=str)
        files.write(self.folder / "koji.json", f"{content}\n".encode())

    def delete(self) -> None:
        """Delete the client's profile if `save` wrote it."""
        if self._is_saved():
            self.config.unlink()

    def _is_saved(self) -> bool:
        header = _HEADER.format(self.system)
        return self.config.exists() and self.config.read_text().startswith(header)


def profile_of(hub: SystemContainer) -> Profile:
    """The profile for the system of a hub's container. Raises LifecycleError if the hub publishes
    no port 443."""
    state = hub.state()
    if 443 not in state.ports:
        raise LifecycleError(
            f"{hub.name} publishes no port 443, so no client on this machine can reach it",
            f"add 443 to its `ports` in moromi.yml, then `toji --system {hub.system} up`",
        )
    return Profile(hub.system, hub.home, hub.name, _urls(state))


def local_urls(state: State) -> dict[str, str]:
    """The hub's API and its files at the published port: they need no name of the site's."""
    root = f"https://{state.reached_at(443)}:{state.ports[443]}"
    return {"hub": f"{root}/kojihub", "files": f"{root}/kojifiles"}


def _urls(state: State) -> dict[str, str]:
    """The URLs of a hub, by its KOJI_WEB_URL: in Nagoya's moromi.yml that is the published port.

    A site's own certificate is for browsers; what trusts the system's authority calls the port.
    """
    local = local_urls(state)
    own = local["hub"].removesuffix("/kojihub")
    web = state.variables.get("KOJI_WEB_URL") or f"{own}/koji"
    site = urlsplit(web)
    root = own if state.variables.get("KOJI_SITE_CERTIFICATE") else f"https://{site.netloc}"
    # The koji client verifies downloads with the machine's authorities, whatever `serverca` says
    # (koji_cli.lib.download_file, 1.20 to 1.36), so it can download by plain HTTP only.
    plain = root
    if 80 in state.ports:
        only_here = ip_address(state.addresses[80]).is_loopback
        host = state.reached_at(80) if only_here else bracketed(site.hostname or "")
        plain = f"http://{host}:{state.ports[80]}"
    return {
        "hub": f"{root}/kojihub",
        "web": web.rstrip("/"),
        "files": f"{root}/kojifiles",
        "topurl": f"{plain}/kojifiles",
    }
