"""Takes docs/kojiweb.png, the picture in README.md: kojiweb after `toji up` and `toji verify`.

    python docs/screenshot.py [SYSTEM]

It starts nothing: the system must run, and have the demo's build. It needs what `tools/setup test`
installs, playwright and Debian's Chromium.
"""

import json
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

PICTURE = Path(__file__).with_name("kojiweb.png")


def main(system: str = "koji") -> None:
    koji = json.loads((Path.home() / ".koji/nagoya" / system / "koji.json").read_text())
    web = koji["urls"]["web"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=["--no-sandbox", "--disable-gpu"]
        )
        context = browser.new_context(
            viewport={"width": 960, "height": 640},
            ignore_https_errors=True,  # the authority is this system's own
            client_certificates=[
                {
                    "origin": web.removesuffix("/koji"),
                    "pfxPath": koji["browser_certificate"],
                    "passphrase": koji["browser_password"],
                }
            ],
        )
        page = context.new_page()
        page.goto(f"{web}/")
        page.click("text=login")
        page.wait_for_selector("text=logout")
        page.goto(f"{web}/builds")
        page.click("text=hello-1.0-1.demo")
        page.wait_for_selector("text=hello-1.0-1.demo.noarch.rpm")
        page.screenshot(path=PICTURE)
        browser.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
