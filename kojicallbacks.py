"""What Koji adds to toji's events: credentials and a client profile on the host, addresses.

moromi.yml names these functions. toji calls each with the container that the event is about
(`nagoya.system.container.SystemContainer`).
"""

from nagoya.koji.activity import client_details
from nagoya.koji.credentials import cleanup_credentials, extract_credentials
from nagoya.koji.profile import BROWSER_PASSWORD, Profile, profile_of
from nagoya.system.container import SystemContainer

__all__ = [
    "cleanup_credentials",
    "extract_credentials",
    "remove_config_profile",
    "show_kojiweb_url",
    "show_network",
    "update_config_profile",
]


def show_network(container: SystemContainer) -> None:
    """Show the address of a container on the system's network."""
    container.log(
        f"{container.name} is {container.state().address} on the network {container.system}"
    )


def show_kojiweb_url(container: SystemContainer) -> None:
    """Show the URL of kojiweb, and the certificate to log in with."""
    profile = profile_of(container)
    container.log(f"kojiweb: {profile.urls['web']}")
    container.log(
        f"  certificate for a browser: {profile.browser_certificate()} "
        f"(password: {BROWSER_PASSWORD})"
    )


def update_config_profile(container: SystemContainer) -> None:
    """Write the koji client's profile for the hub in this container."""
    profile = profile_of(container)
    former = client_details(container.system, container.home).get("urls", profile.urls)
    profile.save()
    if former != profile.urls:
        container.log(f"the hub's address is new; it was {former['hub']}")
    container.log(f"koji client: koji -p {profile.name} hello")


def remove_config_profile(container: SystemContainer) -> None:
    """Delete the koji client's profile."""
    Profile(container.system, container.home).delete()
