"""What toji does with the Koji in a system: fills it, adds users, and proves that it builds."""

from pathlib import Path

import click

from nagoya.cli.common import Settings, command, json_option, on_system, print_json
from nagoya.koji import users
from nagoya.koji.hub import HubConnection
from nagoya.koji.seed import apply_seed, read_seed
from nagoya.koji.verify import Built, verify_builds
from nagoya.system.system import System


@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@command
def seed(settings: Settings, file: Path) -> None:
    """Create what FILE declares: tags, targets, users, builds etc.

    What differs from FILE is changed. A tag loses the inheritance and external repositories that
    FILE does not list. Policies are replaced, and the hub restarts for them. docs/seed.md describes
    the file.

    \b
      toji seed demo/seed.yml
    """
    wanted = read_seed(file)
    on_system(settings, lambda system: apply_seed(system, wanted))


@json_option
@command
def verify(settings: Settings, as_json: bool) -> None:
    """Prove that the system builds RPMs.

    Seeds it, builds from a source RPM and from git, and checks the RPMs. Shows each step with the
    seconds that it took, and the logs of a build that fails.

    \b
      toji verify
    """
    built: list[Built] = []
    on_system(settings, lambda system: built.extend(verify_builds(system)))
    files = {each.task: f"{each.rpm.nvr}.{each.rpm.arch}" for each in built}
    if as_json:
        print_json(
            builds=[{"rpm": files[each.task], "task": each.task, "url": each.url} for each in built]
        )
        return
    for each in built:
        print(f"{files[each.task]}  built by task {each.task}: {each.url}")


@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@click.option(
    "--permission", "permissions", multiple=True, metavar="PERMISSION",
    help="Grant a permission, such as admin; may be repeated.",
)  # fmt: skip
@json_option
@command
def user(
    settings: Settings, names: tuple[str, ...], permissions: tuple[str, ...], as_json: bool
) -> None:
    """Add users.

    Each gets an account on the hub, and a certificate beside kojiadmin's. Existing accounts keep
    their permissions, valid certificates are left unchanged. `koji -p PROFILE list-permissions`
    lists the permissions.

    \b
      toji user alice
      toji user --permission tag --permission build bob
    """
    for name in names:
        users.check_name(name)
    rows = []

    def verb(system: System) -> None:
        profile = HubConnection.of(system).profile
        for name in names:
            certificate = users.add(system, name, permissions)
            browser = profile.browser_certificate(name)
            rows.append(
                {"user": name, "certificate": str(certificate), "browser_certificate": str(browser)}
            )
            system.progress.log(f"koji -p {profile.name} --cert={certificate} hello")

    on_system(settings, verb)
    if as_json:
        print_json(users=rows)
