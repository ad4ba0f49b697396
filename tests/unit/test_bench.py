"""What the bench assumes of the images."""

import re
from pathlib import Path

from bench import transfers


def test_the_hub_takes_the_requests_that_curl_sends(checkout: Path) -> None:
    configuration = (checkout / "koji-hub/httpd.conf").read_text()
    (limit,) = re.findall(r"^ *SecRequestBodyLimit (\d+)$", configuration, re.MULTILINE)
    assert int(limit) >= transfers.PART
