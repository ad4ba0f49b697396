"""Reads the documented environment variables as typed values, and reports all errors at once."""

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from .entry import Fatal

LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")

# All variables of all images: a variable of another image is no mistake, since one file of
# variables may serve several containers.
VARIABLES = frozenset(
    [
        "KOJI_BUILDER_ALLOWED_SCMS",
        "KOJI_BUILDER_ARCHES",
        "KOJI_BUILDER_BUNDLE",
        "KOJI_BUILDER_CAPACITY",
        "KOJI_BUILDER_CHANNELS",
        "KOJI_BUILDER_MAXJOBS",
        "KOJI_BUILDER_MINSPACE",
        "KOJI_BUILDER_MOCK",
        "KOJI_BUILDER_NAME",
        "KOJI_BUILDER_PLUGINS",
        "KOJI_BUILDER_SLEEPTIME",
        "KOJI_DATABASE_HOST",
        "KOJI_DATABASE_NAMES",
        "KOJI_DATABASE_PASSWORD_FILE",
        "KOJI_DATABASE_URL",
        "KOJI_ENABLE_MAVEN",
        "KOJI_FILES_URL",
        "KOJI_HOUSEKEEPING_HOURS",
        "KOJI_HUB_NAMES",
        "KOJI_HUB_PLUGINS",
        "KOJI_HUB_PROCESSES",
        "KOJI_HUB_URL",
        "KOJI_KEYTAB",
        "KOJI_LOG_LEVEL",
        "KOJI_NOTIFICATIONS",
        "KOJI_PLAIN_FILES",
        "KOJI_SITE_CERTIFICATE",
        "KOJI_SITE_NAME",
        "KOJI_WAIT_SECONDS",
        "KOJI_WEB_SECRET",
        "KOJI_WEB_SECRET_FILE",
        "KOJI_WEB_URL",
        "KOJIRA_SLEEPTIME",
    ]
)
# Variables that others set: Koji's client (KOJI_PROFILE), Kubernetes for a service called `koji` or
# `koji-…`, and Docker for `--link`.
_FOREIGN = re.compile(
    r"KOJI_PROFILE|KOJI\w*_SERVICE_(HOST|PORT\w*)|KOJI\w*_PORT(_\d+_(TCP|UDP|SCTP)\w*)?"
    r"|KOJI_NAME|KOJI\w*_ENV_\w+"
)

_FLAGS = {
    **dict.fromkeys(("1", "true", "yes", "on"), True),
    **dict.fromkeys(("0", "false", "no", "off"), False),
}


class Environment:
    """One process's variables. Call `check` after reading the last of them.

    An empty variable counts as unset, since Compose and its like pass on `X=` for an X that the
    user never set. A wrong value is noted and the default returned instead, so that one start
    reports every error.
    """

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = values
        self._errors: list[str] = []

    def wrong(self, name: str, why: str) -> None:
        """Note that the value of `name` cannot be used, for a reason that only the caller knows."""
        self._errors.append(f"{name}: {why}")

    def check(self) -> None:
        """Raise one Fatal that lists every error so far, unknown KOJI variables included."""
        errors = [*self._errors, *self._unknown()]
        if errors:
            raise Fatal(
                "the environment is wrong: " + "; ".join(errors),
                hint="the variables are described at the top of /usr/lib/nagoya/entrypoint.py",
            )

    def _unknown(self) -> Iterator[str]:
        for name in sorted(self._values):
            if not name.startswith(("KOJI_", "KOJIRA_")) or not self._values[name].strip():
                continue
            if name not in VARIABLES and not _FOREIGN.fullmatch(name):
                near = difflib.get_close_matches(name, VARIABLES, n=1)
                question = f"; did you mean {near[0]}?" if near else ""
                yield f"unknown variable {name}{question}"

    def text(self, name: str, default: str) -> str:
        """The value without the blanks around it; one line."""
        text = self._values.get(name, "").strip()
        if not text.isprintable():
            self.wrong(name, "contains a line break or another control character")
            return default
        return text or default

    def words(
        self, name: str, default: Sequence[str] = (), separators: str = r"[,\s]+"
    ) -> tuple[str, ...]:
        """A list, separated by commas or blanks, or by another pattern; of several lines too."""
        words = [word for word in re.split(separators, self._values.get(name, "")) if word]
        if any(not word.isprintable() for word in words):
            self.wrong(name, "contains a control character")
            return tuple(default)
        return tuple(words or default)

    def flag(self, name: str, default: bool) -> bool:
        """1, true, yes, on or 0, false, no, off, in any case."""
        text = self.text(name, "").lower()
        if text and text not in _FLAGS:
            self.wrong(name, f"{text!r} is neither yes nor no")
        return _FLAGS.get(text, default)

    def choice(self, name: str, default: str, choices: Sequence[str]) -> str:
        """One of `choices`, which are in capitals, in any case."""
        text = self.text(name, default).upper()
        if text not in choices:
            self.wrong(name, f"{text!r} is not one of {', '.join(choices)}")
        return text

    def integer(
        self, name: str, default: int, minimum: int | None = None, maximum: int | None = None
    ) -> int:
        """A whole number in decimal digits, between the bounds, both included."""
        text = self.text(name, "")
        if not text:
            return default
        if not re.fullmatch(r"[+-]?[0-9]{1,15}", text):
            self.wrong(name, f"{text!r} is not a whole number")
            return default
        return int(self._bounded(name, int(text), default, minimum, maximum))

    def number(
        self, name: str, default: float, minimum: float | None = None, maximum: float | None = None
    ) -> float:
        """A number such as 4 or 0.5, between the bounds, both included."""
        text = self.text(name, "")
        if not text:
            return default
        if not re.fullmatch(r"[+-]?([0-9]{1,15}(\.[0-9]*)?|\.[0-9]+)", text):
            self.wrong(name, f"{text!r} is not a number")
            return default
        return self._bounded(name, float(text), default, minimum, maximum)

    def seconds(self, name: str, default: float) -> float:
        """A number of seconds, at most a day."""
        return self.number(name, default, minimum=0, maximum=86400)

    def url(self, name: str, default: str, schemes: Sequence[str] = ("https",)) -> str:
        """An absolute URL of one of `schemes`, without a slash at its end."""
        text = self.text(name, default)
        try:
            parts = urlsplit(text)
            fits = parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
        except ValueError:
            fits = False
        if not fits or re.search(r"\s", text):
            self.wrong(name, f"{text!r} is not a URL that begins with {'://, '.join(schemes)}://")
            text = default
        return text.rstrip("/")

    def secret(self, name: str) -> str | None:
        """A secret, from the variable or, better, from the file that NAME_FILE names.

        The value itself is never part of an error.
        """
        value = self._values.get(name) or None
        file = self.text(f"{name}_FILE", "")
        if value and file:
            self.wrong(name, f"{name}_FILE is set too; set one of the two")
        elif file:
            try:
                return Path(file).read_text().removesuffix("\n")
            except (OSError, UnicodeDecodeError) as error:
                why = error.strerror if isinstance(error, OSError) else "it is not text"
                self.wrong(f"{name}_FILE", f"cannot read {file}: {why}")
        return value

    def _bounded(
        self, name: str, value: float, default: float, minimum: float | None, maximum: float | None
    ) -> float:
        if minimum is not None and value < minimum:
            self.wrong(name, f"{value:g} is less than {minimum:g}")
            return default
        if maximum is not None and value > maximum:
            self.wrong(name, f"{value:g} is more than {maximum:g}")
            return default
        return value
