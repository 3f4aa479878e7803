"""The search for secrets finds them however they are written."""

import base64
import gzip
import html
import json
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest
import zstandard

from tests.support.secret_search import Place, files, search

VALUE = 's3cr"et&=\\é/+?~ü'
SECRETS = {"a password": VALUE}


@pytest.mark.parametrize(
    "written",
    [
        VALUE.encode(),
        f"before {VALUE} after".encode(),
        *(base64.b64encode(b"x" * offset + VALUE.encode() + b"yz") for offset in range(4)),
        *(base64.urlsafe_b64encode(b"x" * offset + VALUE.encode()) for offset in range(3)),
        f"https://a/?p={quote(VALUE)}".encode(),
        f"https://a/?p={quote_plus(VALUE)}&q=1".encode(),
        json.dumps({"password": VALUE}).encode(),
        json.dumps({"password": VALUE}, ensure_ascii=False).encode(),
        json.dumps({"body": json.dumps({"password": VALUE})}).encode(),
        json.dumps({"body": json.dumps([VALUE], ensure_ascii=False)}, ensure_ascii=False).encode(),
        html.escape(VALUE).encode(),
        repr({"password": VALUE}).encode(),
        VALUE.encode().hex().encode(),
        gzip.compress(VALUE.encode(), mtime=0),
        zstandard.compress(VALUE.encode()),
    ],
)
def test_secret_is_found_however_it_is_written(written: bytes) -> None:
    assert search([Place("there", written)], SECRETS) == ["a password in there"]


def test_what_is_no_secret_is_not_found() -> None:
    places = [Place("there", b"s3cr"), Place("elsewhere", json.dumps(VALUE[:-1]).encode())]
    assert search(places, SECRETS) == []


def test_files_are_read_but_for_what_is_left_out(tmp_path: Path) -> None:
    for name in ("logs/deep/task.log", "data/volume", "state.json"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(VALUE)
    found = search(files(tmp_path, without=["data"]), SECRETS)
    assert found == [
        f"a password in the file {tmp_path / name}" for name in ("logs/deep/task.log", "state.json")
    ]
