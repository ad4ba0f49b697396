"""Ready means: the hub answers a call that it has to ask the database for, and kojiweb a page."""

import http.client
import ssl
import sys

from util import entry
from util.hub import AUTHORITY, hub

HOST = "localhost"
# One of the pages that ask the hub for little.
PAGE = "/koji/reports"


def question() -> str:
    """What is ready; raises if something is not."""
    volumes = hub(f"https://{HOST}/kojihub", timeout=4).listVolumes()
    if not volumes:
        raise LookupError("the hub answers, but the database is empty")
    context = ssl.create_default_context(cafile=str(AUTHORITY))
    connection = http.client.HTTPSConnection(HOST, timeout=4, context=context)
    try:
        connection.request("GET", PAGE)
        answer = connection.getresponse()
    finally:
        connection.close()
    if answer.status != http.client.OK:
        raise LookupError(f"kojiweb answers {PAGE} with {answer.status} {answer.reason}")
    return "kojihub and kojiweb answer"


if __name__ == "__main__":
    sys.exit(entry.health(question))
