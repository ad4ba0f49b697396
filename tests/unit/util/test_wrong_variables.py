"""Wrong values of every environment variable of every image are refused before anything is written,
by a message that names the variable."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import ModuleType

import pytest

from util.entry import Fatal
from util.environment import VARIABLES, Environment
from util.names import Names

HUB, BUILDER, CREDENTIALS = "koji-hub", "koji-builder", "koji-credentials-volume"

CASES = [
    (HUB, "KOJI_DATABASE_HOST", ["a b", "a/b", "a;b", "host=x", "a\nb", "[::1"]),
    (HUB, "KOJI_DATABASE_URL", ["db.example.com", "https://db/koji", "postgresql:///koji"]),
    (HUB, "KOJI_DATABASE_URL", ["postgresql://koji@db/koji", "postgresql://koji@db/koji?sslroot=a"]),
    (HUB, "KOJI_DATABASE_URL", ["postgresql://koji@db/koji?sslrootcert=/nowhere&sslmode=require"]),
    (HUB, "KOJI_DATABASE_URL", ["postgresql://koji:secret@db/koji", "postgres://db?password=secret"]),
    (HUB, "KOJI_DATABASE_PASSWORD_FILE", ["/nowhere", "/", "/dev/null"]),
    (HUB, "KOJI_WAIT_SECONDS", ["-1", "nan", "inf", "1e9", "9" * 400, "86401", "5s", "0x10"]),
    (HUB, "KOJI_SITE_NAME", ["a\nb", "a\rb", "a\x1bb", "a\tb"]),
    (HUB, "KOJI_WEB_URL", ["koji", "http://koji/koji", "https://", "https://a b/", "https://[/"]),
    (HUB, "KOJI_WEB_URL", ["https://a:0/", "https://a:99999/", "https://a:b/", "file:///koji"]),
    (HUB, "KOJI_FILES_URL", ["files", "ftp://a/b", "https:/a", "javascript:alert(1)"]),
    (HUB, "KOJI_WEB_SECRET_FILE", ["/nowhere", "/", "/dev/null/x"]),
    (HUB, "KOJI_LOG_LEVEL", ["LOUD", "10", "DEBUG,INFO"]),
    (HUB, "KOJI_HUB_PLUGINS", ["nosuch", "../x", "a b", "a\x1b"]),
    (HUB, "KOJI_HUB_PROCESSES", ["0", "-1", "65", "two", "1.5", "1e1", "9" * 5000, "٣"]),
    (HUB, "KOJI_ENABLE_MAVEN", ["perhaps", "2", "yesno"]),
    (HUB, "KOJI_NOTIFICATIONS", ["perhaps", "-1"]),
    (HUB, "KOJI_PLAIN_FILES", ["maybe", "https"]),
    (HUB, "KOJIRA_SLEEPTIME", ["0", "-2", "soon", "3601", "0.5"]),
    (HUB, "KOJI_HOUSEKEEPING_HOURS", ["-1", "daily", "8761", "0.5"]),
    (BUILDER, "KOJI_BUILDER_NAME", ["a b", "a/b", "../x", "a,b", "x" * 65, "kojiadmin", "kojihub"]),
    (BUILDER, "KOJI_BUILDER_ARCHES", ["x86-64", "../x", "x86_64;rm", "a\x1b"]),
    (BUILDER, "KOJI_BUILDER_BUNDLE", ["/nowhere", "/etc", "/etc/passwd", "/dev/null", "a\x1b"]),
    (BUILDER, "KOJI_BUILDER_CHANNELS", ["a\x1b", "a\x00b"]),
    (BUILDER, "KOJI_BUILDER_CAPACITY", ["0", "1", "-2", "much", "nan", "inf", "9" * 400]),
    (BUILDER, "KOJI_BUILDER_MAXJOBS", ["0", "-1", "1001", "many", "1.5", "9" * 5000]),
    (BUILDER, "KOJI_BUILDER_SLEEPTIME", ["0", "-1", "3601", "0.5"]),
    (BUILDER, "KOJI_BUILDER_MINSPACE", ["-1", "2G", "9" * 5000, "99999999999"]),
    (BUILDER, "KOJI_BUILDER_MOCK", ["/nowhere", "/etc/passwd", "mock"]),
    (BUILDER, "KOJI_BUILDER_PLUGINS", ["a\x1b"]),
    (BUILDER, "KOJI_BUILDER_ALLOWED_SCMS", ["koji", ":", "::", "https", "a:b c"]),
    (BUILDER, "KOJI_HUB_URL", ["koji", "http://koji/kojihub", "https://", "https://a b"]),
    (BUILDER, "KOJI_FILES_URL", ["/kojifiles", "files", "ftp://a"]),
    (BUILDER, "KOJI_WAIT_SECONDS", ["-1", "nan", "inf", "86401"]),
    (BUILDER, "KOJI_LOG_LEVEL", ["LOUD"]),
    (HUB, "KOJI_HUB_NAMES", ["a b/c", "../x", "a_b!", "a\x1b", "x" * 300]),
    (HUB, "KOJI_SITE_CERTIFICATE", ["site.pem", "/etc/site.pem"]),
    (HUB, "KOJI_KEYTAB", ["koji.keytab", "etc/koji.keytab"]),
    (CREDENTIALS, "KOJI_DATABASE_NAMES", ["a;b", "*", "http://a"]),
]  # fmt: skip


def read(script: ModuleType, image: str, values: dict[str, str], root: Path) -> None:
    if image == HUB:
        script.Settings.read(values, root)
    elif image == BUILDER:
        script.Settings.read(values, "builder")
    else:
        environment = Environment(values)
        words = environment.words("KOJI_DATABASE_NAMES")
        Names.parse(words, partial(environment.wrong, "KOJI_DATABASE_NAMES"))
        environment.check()


@pytest.mark.parametrize(
    ("image", "variable", "value"),
    [(image, variable, value) for image, variable, values in CASES for value in values],
)
def test_a_wrong_value(
    load_script: Callable[[str], ModuleType], tmp_path: Path, image: str, variable: str, value: str
) -> None:
    script = load_script(f"{image}/entrypoint.py")
    with pytest.raises(Fatal, match=variable) as refusal:
        read(script, image, {variable: value}, tmp_path)
    assert "secret" not in str(refusal.value)
    assert not any(tmp_path.iterdir())


def test_every_variable_has_a_case() -> None:
    # The secret may be any text; the file that holds it has cases.
    assert {variable for _, variable, _ in CASES} == VARIABLES - {"KOJI_WEB_SECRET"}
