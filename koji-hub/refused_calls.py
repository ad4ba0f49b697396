r"""Refuses calls by which anybody, without a log-in, could keep the database busy or take the
hub's memory.

Row locks: Koji passes a client's options of a query to the code that makes its SQL, where `rowlock`
adds FOR UPDATE. All rows of a table would be locked for as long as a multicall takes, while
builders wait for them.

Back references in regular expressions, such as `(a+)\1`: PostgreSQL matches other expressions in a
moment. For one with a back reference it may try all ways to divide a text. With forty characters
that takes days, in which a process of the hub and one of the database do nothing else. Other
expressions can take minutes, such as those with repetitions of repetitions. So a search has a time,
and one at a time has more: kojiweb goes on with a search whose client has left.

Numbers: XML-RPC of Python has decimal ones, of which Koji's clients send none. One such as
1E+2000000 is short, and takes minutes to become an int, as which Koji reads the number of a task.

Lists: some calls take long ones, such as the numbers of sixty thousand tasks, each of which is a
statement, or the names of an RPM's fields. A call that only reads ends if its client has left. And
a million entries of an RPM's header, which a user's build has made, take four seconds to be sent.

Multicalls: the hub keeps all answers until the last call is done. A request of 4 MiB has room for
twenty thousand calls, and the list of the hub's methods alone has 200 kB. Or for twelve thousand
searches of three seconds each, which would go on for hours after the client has left.

Tasks: kojiweb's first page shows the last ones, and the hub reads all of them for some lists. A
user could make each as long as a request. And in one request one could submit some ten thousand
builds, for which those of others would wait for hours. In a day, their arguments could fill the
database's disk.
"""

import fcntl
import functools
import os
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from typing import Any

from allowances import FOLDER, Allowances
from clients import ClientGone, watch

OPTION = "rowlock"
# Koji makes regular expressions of terms, arches, names of files and platforms. The last three call
# others by their names.
SEARCHES = (
    "search", "listHosts", "getArchiveType", "listArchives",
    "count", "filterResults", "countAndFilterResults",
)  # fmt: skip
# Characters of all fields of an RPM's header in one answer, and for how many each entry counts.
LONGEST_FIELDS = 24 * 1024 * 1024
ENTRY = 32
# Calls that change nothing.
READS = re.compile("(get|list|query|read)[A-Z]")
# Seconds for each statement of a search, and where it is the only one that takes longer.
SHORT_SEARCH, LONG_SEARCH = 1, 10
# Held by the search that takes longer; nobody else locks this folder.
SEARCH_LOCK = FOLDER
# Characters of the arguments of a task, as XML. A chain of a thousand builds has fewer.
LONGEST_TASK = 256 * 1024
# Characters of the arguments of all tasks that a user makes in a day, and of one at the least.
TASKS_OF_A_DAY = 1024**3
SHORTEST_TASK = 1024
# After so many unfinished tasks of a user, or subtasks of a task, the priority of the next ones is
# worse by one.
STEP = 10
QUERY_CANCELED = "57014"  # PostgreSQL's code of an error
BACK_REFERENCE = re.compile(r"\\[1-9]")
# Characters of Python's notation, which is about half as long as XML.
LONGEST_ANSWERS = 64 * 1024 * 1024


class _End(BaseException):
    """Ends a multicall. Koji takes an Exception for the answer of one call."""


def nested_values(value: object) -> Iterator[object]:
    """A value, and all that is in it, if it is a list or a mapping, whose keys are in it too."""
    # No recursion: a client chooses the depth.
    rest = [value]
    while rest:
        value = rest.pop()
        yield value
        if isinstance(value, Mapping):
            rest += [*value, *value.values()]
        elif isinstance(value, list | tuple):
            rest += value


def objection(method: str, params: object) -> str | None:
    """Why a call is refused, if it is. A multicall's calls are looked at one by one."""
    # Of a mapping, Koji takes the keys for the arguments.
    if not isinstance(params, list | tuple):
        return "the arguments of a call are a list"
    if method == "multiCall":
        return None
    values = [*nested_values(params)]
    if any(isinstance(value, Mapping) and value.get(OPTION) for value in values):
        return f"clients cannot use the option {OPTION}"
    if method in SEARCHES and any(map(has_back_reference, values)):
        return "a regular expression cannot have back references here"
    return None


def has_back_reference(value: object) -> bool:
    """Whether a value that is no list or mapping does; Koji makes a text of a time, for example."""
    return not _is_nested(value) and bool(BACK_REFERENCE.search(str(value)))


def refuse_decimals(unmarshaller: Any) -> None:
    """Have requests with such numbers end in an error. It is a class of `xmlrpc.client`."""
    unmarshaller.dispatch.pop("bigdecimal", None)


def refuse_calls(koji_entry: Mapping[str, Any]) -> None:
    """Have Koji refuse such calls, and end searches that take too long. `koji_entry` holds the
    names of its module kojixmlrpc."""
    handler, koji = koji_entry["ModXMLRPCRequestHandler"], koji_entry["koji"]
    context, dispatch = koji_entry["context"], handler._dispatch

    def check_and_dispatch(self: Any, method: str, params: Any) -> Any:
        if reason := objection(method, params):
            raise koji.GenericError(reason)
        if method not in SEARCHES:
            with _watched(context, koji) if READS.match(method) else nullcontext():
                return dispatch(self, method, params)
        # A log-in commits, which ends what is local to a transaction.
        self.check_session()
        with suppress(TimeoutError):
            return search(self, method, params, SHORT_SEARCH)
        descriptor = os.open(SEARCH_LOCK, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return search(self, method, params, LONG_SEARCH)
        except BlockingIOError:
            reason = "with another long search; search again in a moment, or for less"
        except TimeoutError:
            reason = f"with this search for {LONG_SEARCH} s; search for less"
        finally:
            os.close(descriptor)
        raise koji.GenericError(f"the database was busy {reason}")

    def search(self: Any, method: str, params: Any, seconds: int) -> Any:
        """The answer. Raises TimeoutError, without an effect on others' calls, if a statement takes
        that time, or if there is one more after it: getArchiveType has one for each dot."""
        connection, end = context.cnx, time.monotonic() + seconds
        cursor = connection.cursor

        def cursor_in_time(*arguments: Any, **options: Any) -> Any:
            if time.monotonic() > end:
                raise TimeoutError
            return cursor(*arguments, **options)

        execute = cursor().execute
        execute("SAVEPOINT search")
        execute(f"SET LOCAL statement_timeout = '{seconds}s'")
        connection.cursor = cursor_in_time
        try:
            # Some of these call others that only read.
            with _watched(context, koji):
                answer = fetch_rows(dispatch(self, method, params))
        except Exception as error:
            is_late = isinstance(error, TimeoutError)
            if not is_late and getattr(error, "pgcode", None) != QUERY_CANCELED:
                raise
            execute("ROLLBACK TO SAVEPOINT search")
            raise TimeoutError from None
        finally:
            del connection.cursor
        execute("SET LOCAL statement_timeout TO DEFAULT")
        return answer

    handler._dispatch = check_and_dispatch


@contextmanager
def _watched(context: Any, koji: Any) -> Iterator[None]:
    """Raise koji.GenericError before the next statement, or field of an RPM's header, if the client
    has left."""
    connection, check = context.cnx, watch(context.environ)
    cursor = connection.cursor

    def check_and_get(*arguments: Any, **options: Any) -> Any:
        check()
        return cursor(*arguments, **options)

    connection.cursor, context.check_client, context.length = check_and_get, check, 0
    try:
        yield
    except ClientGone:
        raise koji.GenericError("nobody waits for this answer") from None
    finally:
        connection.cursor, context.check_client = cursor, None


def bound_headers(koji_entry: Mapping[str, Any]) -> None:
    """Have Koji look for the client before it reads a field of an RPM's header for a call that only
    reads, and refuse fields that are too long."""
    koji, context = koji_entry["koji"], koji_entry["context"]
    get_field = koji.get_header_field

    @functools.wraps(get_field)
    def check_and_get(*arguments: Any, **options: Any) -> Any:
        check = getattr(context, "check_client", None)
        if not check:
            return get_field(*arguments, **options)
        check()
        field = get_field(*arguments, **options)
        entries = field if isinstance(field, list) else [field]
        context.length += sum(
            ENTRY + (len(entry) if isinstance(entry, str | bytes) else 0) for entry in entries
        )
        if context.length > LONGEST_FIELDS:
            raise koji.GenericError("these fields are too long for an answer; ask for fewer")
        return field

    koji.get_header_field = check_and_get


def fetch_rows(answer: Any) -> Any:
    """An answer with all of its rows, which Koji often fetches only when it writes the answer."""
    if isinstance(answer, dict):
        return {key: fetch_rows(value) for key, value in answer.items()}
    return [*answer] if isinstance(answer, Iterator) else answer


def bound_multicalls(koji_entry: Mapping[str, Any]) -> None:
    """Have Koji end a multicall once its answers are too long, or its client is gone."""
    handler, koji = koji_entry["ModXMLRPCRequestHandler"], koji_entry["koji"]
    context, multi_call = koji_entry["context"], handler.multiCall

    def watch_calls(self: Any, calls: Any) -> Any:
        dispatch, room, check = self._dispatch, LONGEST_ANSWERS, watch(context.environ)
        end: _End | None = None

        def dispatch_and_watch(method: str, params: Any) -> Any:
            nonlocal room, end
            answer = fetch_rows(dispatch(method, params))
            room -= len(repr(answer))
            if room < 0:
                end = _End("the answers of this multicall are too long; divide it into several")
            try:
                check()
            except ClientGone:
                end = _End("nobody waits for the answers of this multicall")
            if end:
                raise end
            return answer

        self._dispatch = dispatch_and_watch
        try:
            return multi_call(self, calls)
        except _End as error:
            if error is not end:
                raise  # of the multicall that this one is a part of
            raise koji.GenericError(str(error)) from None
        finally:
            self._dispatch = dispatch

    handler.multiCall = watch_calls


def bound_tasks(kojihub: Any, module: Any, allowances: Allowances) -> None:
    """Have Koji refuse a user's tasks that are long, or too many for a day, and let the many of one
    user wait for the few of others.

    `module` has Koji's functions (see write_lock.py), and `kojihub` copies of them for plugins.
    """
    koji, make_task = module.koji, module.make_task
    unfinished = tuple(koji.TASK_STATES[name] for name in ("FREE", "OPEN", "ASSIGNED"))

    def worse_by(clause: str, number: Any) -> int:
        query = module.QueryProcessor(
            tables=["task"],
            clauses=[clause, "state IN %(states)s"],
            values={"number": number, "states": unfinished},
            opts={"countOnly": True},
        )
        return int(query.execute()) // STEP

    @functools.wraps(make_task)
    def check_and_make(method: Any, arglist: Any, **options: Any) -> Any:
        if parent := options.get("parent"):
            # A chain's builds are its subtasks, and begin at once if it has one group.
            if worse := worse_by("parent = %(number)i", parent):
                priority = module.Task(parent).getInfo()["priority"] - 1
                options["priority"] = options.get("priority", priority) + worse
            return make_task(method, arglist, **options)
        length = len(koji.xmlrpcplus.dumps((arglist,)))
        if length > LONGEST_TASK:
            raise koji.GenericError(
                f"the arguments of this task have {length} characters, more than {LONGEST_TASK}"
            )
        if module.context.session.logged_in:
            user = module.context.session.user_id
            size = max(length, SHORTEST_TASK)
            if not allowances.take(f"tasks-{user}", size, TASKS_OF_A_DAY):
                raise koji.GenericError(
                    "the arguments of your tasks of this day fill "
                    f"{TASKS_OF_A_DAY // 1024**2} MiB; make more tasks tomorrow"
                )
            own = "parent IS NULL AND owner = %(number)i"
            worse = worse_by(own, user)
            options["priority"] = options.get("priority", koji.PRIO_DEFAULT) + worse
        return make_task(method, arglist, **options)

    module.make_task = kojihub.make_task = check_and_make


def _is_nested(value: object) -> bool:
    return isinstance(value, Mapping | list | tuple)
