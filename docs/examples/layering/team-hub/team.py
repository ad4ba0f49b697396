"""A call that Koji's hub does not have by itself."""

from koji.context import context
from koji.plugin import export


@export
def whoIsOnTheTeam():
    """The names of all users who are not the system's own."""
    context.session.assertLogin()
    own = {"kojiadmin", "kojira", "kojiweb", "kojihub"}
    users = context.handlers.call("listUsers", userType=0)
    return sorted(user["name"] for user in users if user["name"] not in own)
