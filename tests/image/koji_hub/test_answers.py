"""koji-hub's kept answers: a call that was committed is answered, though the hub ended before."""

import koji
import pytest

from tests.image.running import Hub, Koji
from tests.image.tracked import execute, wait_ready

ENDING = "/tmp/end"
PLUGIN = f"""
import os
import signal
from koji.context import context
from koji.plugin import callback

@callback("postCommit")
def end(*arguments, **options):
    if context.method == "createTag" and os.path.exists("{ENDING}"):
        os.unlink("{ENDING}")
        os.kill(os.getpid(), signal.SIGKILL)
"""
INSTALL = f"""
cat > /usr/lib/koji-hub-plugins/ending.py <<'END'
{PLUGIN}
END
printf '[hub]\\nPlugins = ending\\n' > /etc/koji-hub/hub.conf.d/90-ending.conf
"""


def test_a_call_is_answered_though_the_hub_ended_after_its_commit(mortal_koji: Koji) -> None:
    hub = mortal_koji.hub_that_is_up()
    assert execute(hub.container, "sh", "-c", INSTALL) == (0, "")
    hub.container.restart()
    wait_ready(hub.container)
    session = hub.login()
    number = session.createTag("before")
    assert execute(hub.container, "install", "-o", "www-data", "/dev/null", ENDING)[0] == 0
    assert session.createTag("during") == number + 1
    assert execute(hub.container, "test", "-e", ENDING)[0] == 1
    assert session.createTag("after") == number + 2


def test_each_session_gets_its_own_answers(mortal_koji: Koji) -> None:
    """A client sends each call twice, as if the first answer had not arrived."""
    hub = mortal_koji.hub_that_is_up()
    sessions = [hub.login() for _ in range(3)]
    for session in sessions:
        send = session._sendOneCall

        def send_twice(*arguments, send=send):  # type: ignore[no-untyped-def]
            send(*arguments)
            return send(*arguments)

        session._sendOneCall = send_twice
    tags = [session.createTag(f"tag-{number}") for number, session in enumerate(sessions)]
    assert tags == [hub.session().getTag(f"tag-{number}")["id"] for number in range(3)]
    # A fault is not an answer that is kept: the call is carried out again, and fails again.
    with pytest.raises(koji.GenericError, match="already exists"):
        sessions[0].createTag("tag-0")


def test_a_session_goes_on_once_it_is_renewed(mortal_koji: Koji) -> None:
    """A client that finds its session expired renews it, and numbers its calls from 0 again.

    Koji would also renew it for another user who knows its key.
    """
    database = mortal_koji.start_database()
    container = mortal_koji.start_hub()
    wait_ready(container)
    hub = Hub(container, mortal_koji.credentials)
    if hub.session().getKojiVersion() < "1.32":
        pytest.skip("Koji renews sessions from 1.32 on")
    session = hub.login()
    tags = [session.createTag(f"before-{number}") for number in range(5)]
    expire = ("psql", "-qAtc", "UPDATE sessions SET expired = TRUE", "koji")
    assert execute(database, "runuser", "-u", "postgres", "--", *expire) == (0, "")
    thief = hub.session()
    thief.setSession(session.sinfo)
    thief.callnum = session.callnum
    with pytest.raises(koji.AuthError, match="another user's"):
        thief.ssl_login(str(hub.credentials / "kojira.pem"), None, str(hub.authority), renew=True)
    tags += [session.createTag(f"after-{number}") for number in range(5)]
    assert tags == list(range(tags[0], tags[0] + 10))
