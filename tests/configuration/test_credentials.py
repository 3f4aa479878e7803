"""What looks like a credential is a secret; what only looks a little like one is not."""

import pytest

from ledgerkeep.configuration.credentials import Guard
from ledgerkeep.configuration.items import Secret


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("DB_PASSWORD", "x"),
        ("dbPasswd", "x"),
        ("PGPASS", "postgres"),
        ("AWS_SECRET_ACCESS_KEY", "x"),
        ("JWT_SIGNING_KEY", "x"),
        ("GITHUB_TOKEN", "x"),
        ("SENTRY_DSN", "x"),
        ("DATABASE_URL", "postgresql://app:hunter2@db:5432/loans"),
        ("REDIS", "redis://:hunter2@cache:6379"),
        ("SIGNING", "-----BEGIN RSA PRIVATE KEY-----\nMII"),
        ("UPLOADER", "AKIAIOSFODNN7EXAMPLE"),
        ("SESSION", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.abc"),
    ],
)
def test_credentials_are_secret(name: str, text: str) -> None:
    assert Guard().value(name, text) == Secret(text)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("LOG_LEVEL", "info"),
        ("DATABASE_URL", "postgresql://db:5432/loans"),
        ("PASSAGE", "north"),
        ("AUTHOR", "dana"),
        ("KEYBOARD", "de"),
        ("DB_PASSWORD", ""),
    ],
)
def test_settings_stay_readable(name: str, text: str) -> None:
    assert Guard().value(name, text) == text


def test_a_pattern_of_the_policy_makes_a_secret() -> None:
    assert Guard(("LENDER_*",)).values({"LENDER_CODE": "x", "ALENDER_CODE": "y"}) == {
        "ALENDER_CODE": "y",
        "LENDER_CODE": Secret("x"),
    }


def test_words_of_a_command_that_carry_a_credential_are_secret() -> None:
    command = ["serve", "--port", "80", "--token", "abc", "--password=x", "$DB_PASSWORD", "-v"]
    assert Guard().words(command) == [
        *("serve", "--port", "80", "--token", Secret("abc"), Secret("--password=x")),
        *("$DB_PASSWORD", "-v"),
    ]
    assert Guard().words(["sh", "-c", "curl https://u:p@x"])[2] == Secret("curl https://u:p@x")
