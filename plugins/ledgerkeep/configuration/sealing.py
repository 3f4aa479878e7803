"""Sealing: secrets are encrypted on the worker, and only then leave it.

Envelope encryption by the AWS Encryption SDK: a data key from KMS encrypts (AES-256-GCM with key
commitment and a signature), and lies beside what it encrypted, itself encrypted by the policy's
KMS key. The context, which says what was sealed and for whom, is bound in: sealed values of one
environment or source do not open as those of another. Nothing is written to a disk.
(AWS Encryption SDK developer guide, Concepts; AWS KMS developer guide, Encryption context.)
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ledgerkeep.aws import ask, error_code
from ledgerkeep.errors import SealBroken

if TYPE_CHECKING:
    from mypy_boto3_kms.client import KMSClient

_CONNECTION = "configuration.connection_id"
_DENIED = (
    "allow kms:DescribeKey, kms:GenerateDataKey and kms:Decrypt on configuration.sealing_key to "
    "the identity of the connection configuration.connection_id"
)


@dataclass(frozen=True)
class Sealer:
    """Seals and opens under one KMS key."""

    key_id: str
    """Id, ARN or alias."""
    kms: "KMSClient" = field(repr=False)

    @cached_property
    def key_arn(self) -> str:
        """The key itself, whatever it is called.

        :raises AwsRefused, AwsUnavailable: there is no such key, or it may not be used.
        """
        found = ask(
            f"look at the key {self.key_id}",
            lambda: self.kms.describe_key(KeyId=self.key_id),
            denied=_DENIED,
            connection=_CONNECTION,
            hints={"NotFoundException": "correct configuration.sealing_key in the policy"},
        )
        return found["KeyMetadata"]["Arn"]

    def seal(self, plain: bytes, context: Mapping[str, str]) -> bytes:
        """Encrypt under a new data key.

        :param context: what it is; has to be given again to open it. Not secret.
        :raises AwsRefused, AwsUnavailable:
        """
        from aws_encryption_sdk.exceptions import AWSEncryptionSDKClientError

        try:
            sealed: bytes = ask(
                f"seal with the key {self.key_id}",
                lambda: _client().encrypt(
                    source=plain,
                    key_provider=self._key(self.key_arn),
                    encryption_context=dict(context),
                )[0],
                denied=_DENIED,
                connection=_CONNECTION,
            )
        except AWSEncryptionSDKClientError as problem:
            raise self._failed("seal", problem) from problem
        return sealed

    def open(self, sealed: bytes, context: Mapping[str, str], *, key_arn: str, what: str) -> bytes:
        """Decrypt, in memory.

        :param key_arn: the key it was sealed with.
        :param what: what is opened, for messages.
        :raises SealBroken: the key does not open it, it was changed, or it is something else.
        """
        from aws_encryption_sdk.exceptions import AWSEncryptionSDKClientError
        from cryptography.exceptions import InvalidSignature, InvalidTag

        try:
            plain, header = _client().decrypt(source=sealed, key_provider=self._key(key_arn))
        except (InvalidTag, InvalidSignature) as problem:
            raise _changed(what) from problem
        except AWSEncryptionSDKClientError as problem:
            raise self._closed(what, key_arn, problem) from problem
        found = header.encryption_context
        if any(found.get(name) != value for name, value in context.items()):
            raise SealBroken(
                f"what lies where {what} should is sealed for something else",
                hint="somebody moved objects in the bucket; use another version",
            )
        return bytes(plain)

    def _key(self, key_arn: str) -> Any:
        from aws_encryption_sdk.key_providers.kms import KMSMasterKey

        return KMSMasterKey(key_id=key_arn, client=self.kms)

    def _closed(self, what: str, key_arn: str, problem: Exception) -> SealBroken:
        from aws_encryption_sdk.exceptions import DecryptKeyError

        if not isinstance(problem, DecryptKeyError):
            return _changed(what)
        return SealBroken(
            f"{what} cannot be opened with the key {key_arn}{_kms_code(problem)}",
            hint="the key may be disabled, deleted or denied to this worker; enable it or cancel "
            "its deletion, and allow kms:Decrypt on it",
        )

    def _failed(self, verb: str, problem: Exception) -> SealBroken:
        return SealBroken(
            f"the key {self.key_id} does not {verb}{_kms_code(problem)}", hint=_DENIED
        )


def _changed(what: str) -> SealBroken:
    return SealBroken(
        f"{what} is not what was sealed: it was changed or cut",
        hint="do not restore from it; use another version",
    )


def _kms_code(problem: BaseException | None) -> str:
    """What KMS said, where the library kept it."""
    from botocore.exceptions import ClientError

    while problem is not None:
        if isinstance(problem, ClientError):
            return f" ({error_code(problem)})"
        problem = problem.__cause__ or problem.__context__
    return ""


def _client() -> Any:
    import aws_encryption_sdk
    from aws_encryption_sdk.identifiers import CommitmentPolicy

    # It logs failures with their tracebacks; ours say what matters.
    logging.getLogger("aws_encryption_sdk").setLevel(logging.CRITICAL)
    return aws_encryption_sdk.EncryptionSDKClient(
        commitment_policy=CommitmentPolicy.REQUIRE_ENCRYPT_REQUIRE_DECRYPT
    )
