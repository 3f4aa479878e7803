"""Sessions of one process read AWS' descriptions of its services once."""

from collections.abc import Callable
from typing import Any

import boto3
import pytest
from botocore.loaders import JSONFileLoader

from ledgerkeep.storage.session import open_session, sharing


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files of descriptions that are read from now on."""
    found: list[str] = []
    load: Callable[..., Any] = JSONFileLoader.load_file

    def noted(self: JSONFileLoader, path: str) -> Any:
        found.append(path)
        return load(self, path)

    monkeypatch.setattr(JSONFileLoader, "load_file", noted)
    return found


def test_second_session_reads_no_description_again(read: list[str]) -> None:
    open_session("key", "secret", region="eu-west-1").client("sqs")
    read.clear()
    open_session("other", "secret", region="us-east-1").client("sqs")
    sharing(boto3.Session("third", "secret", region_name="us-east-1")).client("sqs")
    assert read == []


def test_sessions_keep_their_own_credentials_and_regions() -> None:
    one = open_session("one", "secret", "token", "eu-west-1")
    other = open_session("other", "secret", region="us-east-1")
    assert [one.get_credentials().access_key, other.get_credentials().access_key] == [
        "one",
        "other",
    ]
    assert one.client("sqs").meta.endpoint_url != other.client("sqs").meta.endpoint_url
