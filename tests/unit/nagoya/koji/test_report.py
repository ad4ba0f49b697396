"""A report holds no secret."""

from nagoya.koji.report import redacted, without_secrets

# Joined from pieces, or whoever searches this repository for keys would find one.
KIND = b"EC PRIVATE" + b" KEY"
KEY = b"-----BEGIN %s-----\nMHcCAQEE\n-----END %s-----\n" % (KIND, KIND)


def test_private_keys_are_left_out_wherever_they_stand() -> None:
    log = b"before\n" + KEY + b"between\n" + KEY.replace(b"EC ", b"") + b"after\n"
    assert redacted(log) == b"before\n(a private key)\nbetween\n(a private key)\nafter\n"


def test_a_certificate_stays() -> None:
    certificate = b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
    assert redacted(certificate) == certificate


def test_the_key_of_a_session_is_left_out_of_a_log_of_requests() -> None:
    line = b'POST /kojihub?session-id=12&session-key=34-AbC&callnum=5 HTTP/1.1" 200'
    assert (
        redacted(line) == b'POST /kojihub?session-id=...&session-key=...&callnum=... HTTP/1.1" 200'
    )


def test_variables_that_may_be_secret_lose_their_values() -> None:
    inspected = {
        "Name": "/koji",
        "Config": {"Env": ["KOJI_WEB_SECRET=hidden", "KOJI_SITE_NAME=mine", "DB_PASSWORD=x=y"]},
    }
    clean = without_secrets(inspected)
    assert clean["Config"]["Env"] == [
        "KOJI_WEB_SECRET=...",
        "KOJI_SITE_NAME=mine",
        "DB_PASSWORD=...",
    ]
    assert clean["Name"] == "/koji"
    assert inspected["Config"]["Env"][0] == "KOJI_WEB_SECRET=hidden"
