"""kojira's part in a reset: it starts again, since it remembers repositories."""

import sys

from util import snapshot

if __name__ == "__main__":
    sys.exit(snapshot.run("kojira", {"release": lambda: {"restart": True}}))
