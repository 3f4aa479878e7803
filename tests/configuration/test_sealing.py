"""Sealing under a KMS key: what opens, and what does not and says why."""

import boto3
import pytest

from ledgerkeep.configuration.sealing import Sealer
from ledgerkeep.errors import AwsRefused, SealBroken
from tests.support.configuration import REGION, aws

__all__ = ["aws"]
CONTEXT = {"environment": "production", "source": "parameters"}
WHAT = "the secrets of version 1 of parameters"


@pytest.fixture
def sealer(aws: None) -> Sealer:
    kms = boto3.client("kms", REGION)
    key = kms.create_key()["KeyMetadata"]["KeyId"]
    kms.create_alias(AliasName="alias/sealing", TargetKeyId=key)
    return Sealer("alias/sealing", kms)


def _open(sealer: Sealer, sealed: bytes, **other: str) -> bytes:
    context = {**CONTEXT, **other}
    return sealer.open(sealed, context, key_arn=sealer.key_arn, what=WHAT)


def test_what_was_sealed_opens_again_and_is_not_readable_before(sealer: Sealer) -> None:
    sealed = sealer.seal(b"open sesame", CONTEXT)
    assert b"sesame" not in sealed
    assert _open(sealer, sealed) == b"open sesame"


def test_it_is_sealed_anew_each_time(sealer: Sealer) -> None:
    assert sealer.seal(b"same", CONTEXT) != sealer.seal(b"same", CONTEXT)


@pytest.mark.parametrize("at", [-1, -200, 700])
def test_a_changed_byte_is_seen(sealer: Sealer, at: int) -> None:
    sealed = bytearray(sealer.seal(b"open sesame" * 100, CONTEXT))
    sealed[at] ^= 1
    with pytest.raises(SealBroken) as caught:
        _open(sealer, bytes(sealed))
    assert caught.value.message == f"{WHAT} is not what was sealed: it was changed or cut"
    assert caught.value.hint == "do not restore from it; use another version"


def test_a_cut_end_is_seen(sealer: Sealer) -> None:
    with pytest.raises(SealBroken, match="changed or cut"):
        _open(sealer, sealer.seal(b"open sesame", CONTEXT)[:-10])


def test_sealed_for_something_else_does_not_open_as_this(sealer: Sealer) -> None:
    sealed = sealer.seal(b"open sesame", CONTEXT)
    with pytest.raises(SealBroken) as caught:
        _open(sealer, sealed, environment="staging")
    assert caught.value.message == f"what lies where {WHAT} should is sealed for something else"
    assert caught.value.hint == "somebody moved objects in the bucket; use another version"


def test_another_key_does_not_open_it_and_is_named(sealer: Sealer) -> None:
    sealed = sealer.seal(b"open sesame", CONTEXT)
    other = sealer.kms.create_key()["KeyMetadata"]["Arn"]
    with pytest.raises(SealBroken) as caught:
        sealer.open(sealed, CONTEXT, key_arn=other, what=WHAT)
    assert caught.value.message == f"{WHAT} cannot be opened with the key {other}"
    assert caught.value.hint == (
        "the key may be disabled, deleted or denied to this worker; enable it or cancel its "
        "deletion, and allow kms:Decrypt on it"
    )


def test_a_key_that_is_not_there_is_said_with_the_policys_field(aws: None) -> None:
    sealer = Sealer("alias/nobody", boto3.client("kms", REGION))
    with pytest.raises(AwsRefused) as caught:
        sealer.seal(b"x", CONTEXT)
    assert caught.value.message == "aws refused to look at the key alias/nobody (NotFoundException)"
    assert caught.value.hint == "correct configuration.sealing_key in the policy"
