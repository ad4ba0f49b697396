"""Keeps the answers of calls that changed something, for clients that ask again.

A client repeats a call whose answer does not arrive: the hub ended, or the network was cut, after
the call was committed. Koji knows such a call by its number in the session, and refuses it with
RetryError, since to carry it out twice would be wrong. For a builder that is a failed build. Here
the answer is written to a file before the commit, and the repeated call gets it.

Koji's clients from 1.31 on send that number in a header, which hubs up to 1.35 look for by another
name, and so carry out a repeated call twice. Here they get it by that name too. A client counts
from 0 again once its session is renewed (the hub's SessionRenewalTimeout, a day); so does the hub
here, which would refuse these calls otherwise.

Only the last answer of a session can be asked for. The folder has a fixed number of files, each for
one session at a time; a session that finds none, or another's, is refused by Koji as before.
"""

import hashlib
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qs

FOLDER = Path("/run/koji-hub/answers")
SLOTS = 1024
# Bytes. Koji's calls that change something answer with a few numbers.
LARGEST = 256 * 1024
# The header with a call's number, as clients send it and as hubs up to 1.35 read it.
SENT, READ = "HTTP_KOJI_SESSION_CALLNUM", "HTTP_KOJI_CALLNUM"


class Call(NamedTuple):
    """A call of a session, by their numbers.

    After a reset another session can have the same number; it has another key.
    """

    session: int
    key: str
    number: int


def identify(environ: Mapping[str, Any]) -> Call | None:
    """The call in a request: in the URL up to Koji 1.30, in headers since. None without one."""
    query = parse_qs(environ.get("QUERY_STRING", ""))
    try:
        return Call(
            int(environ.get("HTTP_KOJI_SESSION_ID") or query["session-id"][0]),
            environ.get("HTTP_KOJI_SESSION_KEY") or query["session-key"][0],
            int(environ.get(READ) or query["callnum"][0]),
        )
    except (KeyError, ValueError):
        return None


class Answers:
    """The files."""

    def __init__(self, folder: Path = FOLDER) -> None:
        self.folder = folder

    def _path(self, call: Call) -> Path:
        return self.folder / str(call.session % SLOTS)

    @staticmethod
    def _title(call: Call) -> bytes:
        return hashlib.sha256(repr(call).encode()).hexdigest().encode()

    def write(self, call: Call, answer: str) -> None:
        """Keep an answer instead of the session's last one, unless it is long or the disk full."""
        path = self._path(call)
        new = path.with_suffix(f".{os.getpid()}")
        with suppress(OSError):
            path.unlink(missing_ok=True)
            content = self._title(call) + b"\n" + answer.encode()
            if len(content) <= LARGEST:
                new.write_bytes(content)
                new.replace(path)

    def read(self, call: Call) -> str | None:
        """The answer of a call, if it is kept."""
        try:
            title, _, answer = self._path(call).read_bytes().partition(b"\n")
        except OSError:
            return None
        return answer.decode() if title == self._title(call) else None


def check_renewals(auth: Any, context: Any) -> None:
    """Have Koji's module `auth` renew a session for its own user alone, and forget the number of
    its last call. Koji does not compare the users."""
    create = auth.Session.createSession

    def create_session(self: Any, user_id: int, *arguments: Any, **options: Any) -> Any:
        if not options.get("renew") or self.id is None:
            return create(self, user_id, *arguments, **options)
        cursor, values = context.cnx.cursor(), {"id": self.id}
        cursor.execute("SELECT user_id FROM sessions WHERE id = %(id)s", values)
        if cursor.fetchone() != (user_id,):
            raise auth.koji.AuthError("this session is another user's")
        created = create(self, user_id, *arguments, **options)
        if created:
            cursor.execute("UPDATE sessions SET callnum = NULL WHERE id = %(id)s", values)
            context.cnx.commit()
        return created

    auth.Session.createSession = create_session


def keep_answers(koji_entry: Mapping[str, Any], answers: Answers) -> None:
    """Have Koji keep its answers. `koji_entry` holds the names of its module kojixmlrpc."""
    handler, context = koji_entry["ModXMLRPCRequestHandler"], koji_entry["context"]
    koji = koji_entry["koji"]
    retry_error, respond = koji.RetryError, handler._wrap_handler
    # Koji would carry out this call again. But it names a finished task only once, and without that
    # name the waiting task fails with a KeyError.
    auth = koji_entry.get("auth") or koji.auth
    with suppress(ValueError):
        auth.RetryWhitelist.remove("host.taskWait")
    check_renewals(auth, context)

    def respond_again(self: Any, handle: Callable[[Any], Any], environ: dict[str, Any]) -> Any:
        if number := environ.get(SENT):
            environ.setdefault(READ, number)
        call = identify(environ)
        refused = False

        def note_refusal(environ: dict[str, Any]) -> Any:
            nonlocal refused
            try:
                return handle(environ)
            except retry_error:
                refused = True
                raise

        answer = respond(self, note_refusal, environ)
        if call is None:
            return answer
        # Koji has compared the session's key before it refuses.
        if refused:
            return answers.read(call) or answer
        if self.traceback or not context.commit_pending:
            return answer
        # Koji 1.30 does not look at the headers, which may name another session.
        if context.session.logged_in and context.session.id == call.session:
            answers.write(call, answer)
        return answer

    handler._wrap_handler = respond_again
