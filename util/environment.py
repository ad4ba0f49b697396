"""Documented environment variables read as typed values, with every error told at once."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from .entry import Fatal

_FLAGS = {
    **dict.fromkeys(("1", "true", "yes", "on"), True),
    **dict.fromkeys(("0", "false", "no", "off"), False),
}


class Environment:
    """Reads one process's variables; `check` comes after the last of them.

    An empty variable counts as unset, since Compose and its like pass on `X=` for an X that the
    user never set. A wrong value is noted and the default returned in its place, so that the
    reading goes on and one start shows all that has to be mended.
    """

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = values
        self._errors: list[str] = []

    def wrong(self, name: str, why: str) -> None:
        """Note that `name` cannot be used, for a reason that only the caller can know."""
        self._errors.append(f"{name}: {why}")

    def check(self) -> None:
        """Raise one Fatal that lists every error so far, if there is any."""
        if self._errors:
            raise Fatal(
                "the environment is wrong: " + "; ".join(self._errors),
                hint="the variables are described at the top of /usr/lib/nagoya/entrypoint.py",
            )

    def text(self, name: str, default: str) -> str:
        """The value without the blanks around it."""
        return self._values.get(name, "").strip() or default

    def words(self, name: str, default: Sequence[str] = ()) -> tuple[str, ...]:
        """A list, separated by commas or blanks."""
        words = [word for word in re.split(r"[,\s]+", self.text(name, "")) if word]
        return tuple(words or default)

    def flag(self, name: str, default: bool) -> bool:
        """1, true, yes, on or 0, false, no, off, in any case."""
        text = self.text(name, "").lower()
        if text and text not in _FLAGS:
            self.wrong(name, f"{text!r} is neither yes nor no")
        return _FLAGS.get(text, default)

    def integer(
        self, name: str, default: int, minimum: int | None = None, maximum: int | None = None
    ) -> int:
        """A whole number in decimal digits, between the bounds given, both included."""
        text = self.text(name, "")
        if not text:
            return default
        if not re.fullmatch(r"[+-]?[0-9]+", text):
            self.wrong(name, f"{text!r} is not a whole number")
            return default
        return int(self._bounded(name, int(text), default, minimum, maximum))

    def number(
        self, name: str, default: float, minimum: float | None = None, maximum: float | None = None
    ) -> float:
        """A number such as 4 or 0.5, between the bounds given, both included."""
        text = self.text(name, "")
        if not text:
            return default
        if not re.fullmatch(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)", text):
            self.wrong(name, f"{text!r} is not a number")
            return default
        return self._bounded(name, float(text), default, minimum, maximum)

    def seconds(self, name: str, default: float) -> float:
        """A number of seconds, not negative."""
        return self.number(name, default, minimum=0)

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
            self.wrong(name, f"given twice, since {name}_FILE is set too")
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
