"""`python -m bench.load URL CALL CONNECTIONS SECONDS`: call a hub over connections kept open.

Prints as JSON how many calls a second were answered, the 99th percentile of their times in ms, and
how many failed: were refused, cut off, or answered with a fault.
"""

import http.client
import json
import ssl
import sys
import threading
import time
import xmlrpc.client
from urllib.parse import urlsplit

_HEADERS = {"Content-Type": "text/xml", "Host": "koji"}


class _Connection(threading.Thread):
    """One client, which asks again as soon as it was answered."""

    def __init__(self, url: str, call: str, end: float) -> None:
        super().__init__(daemon=True)
        self.url = urlsplit(url)
        self.body = xmlrpc.client.dumps((), call).encode()
        self.end = end
        self.times: list[float] = []
        self.failures = 0

    def run(self) -> None:
        # Both servers are reached by the container's address, which is in no certificate.
        context = ssl._create_unverified_context()
        connection = None
        while (start := time.monotonic()) < self.end:
            connection = connection or http.client.HTTPSConnection(
                str(self.url.hostname), self.url.port, timeout=30, context=context
            )
            try:
                connection.request("POST", self.url.path, self.body, _HEADERS)
                answer = connection.getresponse()
                content = answer.read()
            except (OSError, http.client.HTTPException):
                connection.close()
                connection = None
                self.failures += 1
                continue
            if answer.status != 200 or b"<fault>" in content:
                self.failures += 1
            else:
                self.times.append(time.monotonic() - start)


def main(url: str, call: str, connections: str, seconds: str) -> None:
    """Measure and print."""
    end = time.monotonic() + float(seconds)
    clients = [_Connection(url, call, end) for _ in range(int(connections))]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    times = sorted(time for client in clients for time in client.times)
    if not times:
        sys.exit(f"{url} answered none of {sum(client.failures for client in clients)} calls")
    result = {
        "calls": len(times) / float(seconds),
        "p99": times[len(times) * 99 // 100] * 1000,
        "failures": sum(client.failures for client in clients),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main(*sys.argv[1:])
