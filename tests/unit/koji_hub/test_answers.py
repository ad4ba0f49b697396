"""koji-hub's kept answers, with a handler that refuses a repeated call as Koji's does."""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest.mock import Mock, call
from urllib.parse import parse_qs

import pytest

REFUSAL = "unable to retry call"


class RetryError(Exception):
    """As Koji's."""


@pytest.fixture
def answers(load_script: Callable[[str], ModuleType]) -> ModuleType:
    return load_script("koji-hub/answers.py")


class Session:
    """Koji's, of number 7."""

    id = 7

    def createSession(self, user: int, renew: bool = False) -> dict[str, int]:
        return {"session-id": self.id}


class Hub:
    """A hub whose calls change something, unless `changes` is false."""

    def __init__(self, answers: ModuleType, folder: Path) -> None:
        hub = self
        self.calls = 0
        self.auth = SimpleNamespace(
            RetryWhitelist=["host.taskSetWait", "host.taskWait"],
            Session=type("Session", (Session,), {}),
            koji=SimpleNamespace(AuthError=PermissionError),
        )
        self.number: str | None = None
        self.committed: set[tuple[Any, ...]] = set()
        self.changes = self.knows_sessions = True
        self.context = SimpleNamespace(commit_pending=False)

        class Handler:
            traceback = False

            def _wrap_handler(self, handle: Callable[[Any], Any], environ: Any) -> str:
                try:
                    return f"<answer>{handle(environ)}\r\n</answer>"
                except Exception as error:
                    self.traceback = True
                    return str(error)

        def handle(environ: Any) -> str:
            hub.number = environ.get("HTTP_KOJI_CALLNUM")
            if not hub.knows_sessions:
                raise LookupError("No such session")
            if answers.identify(environ) in hub.committed:
                raise RetryError(REFUSAL)
            hub.calls += 1
            in_url = parse_qs(environ.get("QUERY_STRING", "")).get("session-id", [])
            number = int([*in_url, environ.get("HTTP_KOJI_SESSION_ID", 0)][0])
            hub.context.session = SimpleNamespace(logged_in=True, id=number)
            hub.context.commit_pending = hub.changes
            return f"ü{hub.calls}"

        self.handle, self.handler = handle, Handler
        entry = {
            "ModXMLRPCRequestHandler": Handler,
            "context": self.context,
            "koji": SimpleNamespace(RetryError=RetryError, auth=self.auth),
        }
        self.identify = answers.identify
        answers.keep_answers(entry, answers.Answers(folder))

    def call(self, **environ: str) -> str:
        """The answer to a request."""
        answer: str = self.handler()._wrap_handler(self.handle, environ)
        if self.context.commit_pending:
            self.committed.add(self.identify(environ))
        return answer


@pytest.fixture
def hub(answers: ModuleType, tmp_path: Path) -> Hub:
    return Hub(answers, tmp_path)


def headers(session: int = 7, key: str = "7-abc", number: int = 1) -> dict[str, str]:
    return {
        "HTTP_KOJI_SESSION_ID": str(session),
        "HTTP_KOJI_SESSION_KEY": key,
        "HTTP_KOJI_SESSION_CALLNUM": str(number),
    }


@pytest.mark.parametrize(
    "environ", [headers(), {"QUERY_STRING": "session-id=7&session-key=7-abc&callnum=1"}]
)
def test_a_repeated_call_gets_its_answer_and_is_not_carried_out_again(
    hub: Hub, environ: dict[str, str]
) -> None:
    answer = hub.call(**environ)
    assert [hub.call(**environ), hub.call(**environ)] == [answer, answer]
    assert "\r\n" in answer
    assert hub.calls == 1


def test_a_call_that_gives_its_answer_once_is_not_carried_out_again(hub: Hub) -> None:
    assert hub.auth.RetryWhitelist == ["host.taskSetWait"]


def test_an_older_hub_gets_the_number_by_the_name_that_it_reads(hub: Hub) -> None:
    hub.call(**headers(number=3))
    assert hub.number == "3"


WHOSE = "SELECT user_id FROM sessions WHERE id = %(id)s"
ANEW = "UPDATE sessions SET callnum = NULL WHERE id = %(id)s"


def test_a_renewed_session_counts_its_calls_anew(hub: Hub) -> None:
    database = Mock()
    database.cursor().fetchone.return_value = (1,)
    hub.context.cnx = database
    assert hub.auth.Session().createSession(1, renew=True) == {"session-id": 7}
    assert database.cursor().execute.mock_calls == [call(WHOSE, {"id": 7}), call(ANEW, {"id": 7})]
    assert database.commit.mock_calls == [call()]


def test_a_session_is_not_renewed_for_another_user(hub: Hub) -> None:
    database = Mock()
    database.cursor().fetchone.return_value = (2,)
    hub.context.cnx = database
    with pytest.raises(PermissionError, match="another user's"):
        hub.auth.Session().createSession(1, renew=True)
    assert database.commit.mock_calls == []


def test_a_new_session_is_koji_s_own(hub: Hub) -> None:
    hub.context.cnx = database = Mock()
    assert hub.auth.Session().createSession(1) == {"session-id": 7}
    assert database.mock_calls == []


def test_only_the_last_answer_of_a_session_is_kept(hub: Hub) -> None:
    hub.call(**headers(number=1))
    last = hub.call(**headers(number=2))
    assert hub.call(**headers(number=1)) == REFUSAL
    assert hub.call(**headers(number=2)) == last


def test_a_session_of_the_same_number_gets_no_answer_of_another(
    hub: Hub, answers: ModuleType
) -> None:
    hub.call(**headers(key="7-former"))
    number = answers.Call(7, "7-new", 1)
    hub.committed.add(number)
    assert hub.call(**headers(key="7-new")) == REFUSAL


def test_a_header_does_not_take_the_place_of_another_sessions_answer(hub: Hub) -> None:
    """Koji 1.30 believes the URL."""
    last = hub.call(**headers(session=8, key="8-def"))
    hub.call(**headers(session=8), QUERY_STRING="session-id=7&session-key=7-abc&callnum=1")
    assert hub.call(**headers(session=8, key="8-def")) == last


def test_sessions_share_a_fixed_number_of_files(
    hub: Hub, answers: ModuleType, tmp_path: Path
) -> None:
    kept = hub.call(**headers(session=8))
    hub.call(**headers(session=7))
    hub.call(**headers(session=7 + answers.SLOTS))
    assert hub.call(**headers(session=7)) == REFUSAL
    assert hub.call(**headers(session=8)) == kept
    assert len(list(tmp_path.iterdir())) == 2


def test_an_unknown_session_is_refused(hub: Hub) -> None:
    """Koji then has no session for the call."""
    hub.knows_sessions = False
    assert hub.call(**headers()) == "No such session"


def test_what_changes_nothing_is_not_kept(hub: Hub, tmp_path: Path) -> None:
    hub.changes = False
    hub.call(**headers())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "environ",
    [{}, {"QUERY_STRING": "session-id=7"}, {**headers(), "HTTP_KOJI_SESSION_CALLNUM": "x"}],
)
def test_a_call_without_a_number_is_not_kept(
    hub: Hub, tmp_path: Path, environ: dict[str, str]
) -> None:
    assert hub.call(**environ).startswith("<answer>")
    assert list(tmp_path.iterdir()) == []


def test_koji_refuses_where_the_folder_cannot_be_written(
    answers: ModuleType, tmp_path: Path
) -> None:
    hub = Hub(answers, tmp_path / "missing")
    assert hub.call(**headers()).startswith("<answer>")
    assert hub.call(**headers()) == REFUSAL


def test_a_long_answer_is_not_kept(hub: Hub, answers: ModuleType) -> None:
    hub.call(**headers(number=1))
    answers.LARGEST = 85  # a title of 65 bytes; the answer has 20 characters, and one byte more
    assert hub.call(**headers(number=2)).startswith("<answer>")
    assert [hub.call(**headers(number=number)) for number in (1, 2)] == [REFUSAL, REFUSAL]
