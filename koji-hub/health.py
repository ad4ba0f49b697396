"""Ready means: the hub answers a call that it has to ask the database for, and kojiweb a page; and
the top directory takes what is uploaded."""

import http.client
import os
import ssl
import sys
import xmlrpc.client
from contextlib import closing
from functools import cache

import top_directory
from uploads import shortage

from util import entry
from util.hub import AUTHORITY, failures, hub

HOST = "localhost"
# One of the pages that ask the hub for little.
PAGE = "/koji/reports"
# Koji's number for a hub that is offline: by its configuration, or since it did not start.
OFFLINE = 1014
USER = "www-data"


def question() -> str:
    """What is ready; raises if something is not."""
    disk = os.statvfs(top_directory.TOP)
    if problem := shortage(disk, 0) or top_directory.denial(top_directory.TOP, USER):
        raise LookupError(problem)
    with failures("the hub"):
        try:
            volumes = hub(f"https://{HOST}/kojihub", timeout=4).listVolumes()
        except xmlrpc.client.Fault as fault:
            if fault.faultCode == OFFLINE and (problem := startup_problem()):
                raise LookupError(problem) from fault
            raise
    if not volumes:
        raise LookupError("the hub answers, but the database is empty")
    context = ssl.create_default_context(cafile=str(AUTHORITY))
    connection = http.client.HTTPSConnection(HOST, timeout=4, context=context)
    with closing(connection), failures("kojiweb"):
        connection.request("GET", PAGE)
        answer = connection.getresponse()
    if answer.status != http.client.OK:
        raise LookupError(f"kojiweb answers {PAGE} with {answer.status} {answer.reason}")
    return "kojihub and kojiweb answer"


@cache
def startup_problem() -> str | None:
    """Why the hub did not start; None if its configuration does not show that."""
    import check_configuration  # noqa: PLC0415 - all of Koji comes with it

    entry.drop_privileges(check_configuration.USER)
    problems = check_configuration.check_startup()
    return f"the hub does not start: {'; '.join(problems)}" if problems else None


if __name__ == "__main__":
    sys.exit(entry.health(question))
