"""The vault: a bucket of another account, for copies that must outlive everything here.

It is opened as two stores on the same bucket. What is copied (volumes, manifests) goes to the cold
storage class of the policy; the records that say what lies there stay in STANDARD, since whoever
needs the vault must be able to read at once which objects to thaw, and a few kilobytes cost
nothing. Reading through either is the same.
"""

from dataclasses import dataclass, replace
from datetime import timedelta

from ledgerkeep.policy.model import Storage, Vault
from ledgerkeep.storage.open import StoreAccess, encryption_parameters, open_store
from ledgerkeep.storage.port import ObjectStore
from ledgerkeep.storage.role import assume_role
from ledgerkeep.storage.session import open_session
from ledgerkeep.worker import WorkerSettings


@dataclass(frozen=True)
class OpenVault:
    """The vault's bucket, and what the policy wants of every object in it."""

    cold: ObjectStore
    """Creates in `storage_class`."""
    records: ObjectStore
    """Creates in STANDARD."""
    storage_class: str
    encryption: str | None
    """`aws:kms` or `AES256`; None: whatever the store does by itself."""
    locked: timedelta
    """Object Lock in compliance mode, from the copy on."""

    @property
    def location(self) -> str:
        """`s3://bucket`."""
        return self.records.location


def open_vault(
    vault: Vault,
    storage: Storage,
    settings: WorkerSettings,
    access: StoreAccess | None = None,
    *,
    sts_endpoint: str | None = None,
) -> OpenVault:
    """The vault of a policy, ready to use; sends no request yet.

    :param storage: the environment's own, for how objects are sent (parts, addressing).
    :param access: who asks for the vault's role, or uses the vault where it has none.
    :raises StorageError: the endpoint or the configuration is not usable.
    """
    access = access or StoreAccess()
    if vault.role_arn is not None:
        session = access.session or open_session(
            access.access_key,
            access.secret_key,
            access.session_token,
            access.region or vault.region,
        )
        role = assume_role(session, vault.role_arn, sts_endpoint=sts_endpoint)
        access = replace(access, session=role)
    there = storage.model_copy(
        update={
            "connection_id": vault.connection_id,
            "bucket": vault.bucket,
            "region": vault.region,
            "encryption": vault.encryption,
            "object_lock": None,
        }
    )
    return OpenVault(
        cold=open_store(there, settings, access, storage_class=vault.storage_class),
        records=open_store(there, settings, access),
        storage_class=vault.storage_class,
        encryption=encryption_parameters(there, settings).get("ServerSideEncryption"),
        locked=vault.locked,
    )
