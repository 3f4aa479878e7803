"""Every error Ledgerkeep raises on purpose, in one tree.

    LedgerkeepError
    ├── PolicyError                 a policy file is refused
    ├── WorkerError                 this worker lacks a program, an account, a directory
    ├── StorageError
    │   ├── StoreUnavailable        the object store does not answer (after all retries)
    │   ├── BucketMissing
    │   ├── StoreAccessDenied
    │   ├── ObjectMissing
    │   ├── ObjectConflict          the name is taken by different content
    │   └── ObjectCorrupt           what was read back is not what was written
    ├── CatalogError
    │   └── RecoveryPointMissing
    ├── DatabaseError
    │   ├── DatabaseUnavailable
    │   ├── DatabaseAccessDenied    wrong password, no replication privilege
    │   ├── OperationRunning        the same operation holds the lock
    │   ├── BackupInterrupted       the stream ended before its end
    │   ├── PageChecksumFailure
    │   ├── IncrementImpossible     the server cannot tell what has changed since the parent
    │   └── WalError
    │       ├── WalGap
    │       ├── WalConflict         the segment is stored with other content
    │       ├── ForeignCluster      another cluster ships to this place
    │       ├── TimelineDiverged
    │       ├── SlotMissing
    │       ├── SlotInvalidated
    │       └── SlotInUse
    ├── RecoveryError
    │   ├── TargetUnreachable       with the nearest reachable targets
    │   ├── PreflightFailed
    │   ├── RestoreFailed
    │   ├── RecoveryStopped         replay ended before the target
    │   ├── ProofMismatch           the copy is not identical to the source
    │   └── ValidationFailed
    ├── ConfigurationError
    │   ├── VersionMissing          no stored version has that id, or none is that old
    │   ├── ForeignVersion          the version is of another environment, account or tenant
    │   ├── SealBroken              the secrets of a version cannot be opened
    │   ├── SourceChanged           what is live is no longer what the plan was made for
    │   ├── StateLocked             somebody else works on a terraform state
    │   └── RecoveryIncomplete      some changes were applied, some were not
    │       └── RecoveryInterrupted the service stopped answering; it goes on by itself
    ├── AwsRefused                  an AWS service other than the store said no
    │   └── AwsUnavailable
    ├── ServiceRefused              a management API (Auth0, a git host …) said no
    │   └── ServiceUnavailable
    ├── ApplicationUnwell           the application says that it is not well, or says nothing
    ├── AirflowRefused
    ├── RunFailed                   a run that was followed did not pass
    └── EvidenceError
        └── EvidenceChainBroken

A message is one lower-case sentence: what happened to what. The hint says what to do about it.
`retryable` tells the caller whether the same call may succeed later without anybody's doing.
"""

from typing import ClassVar


class LedgerkeepError(Exception):
    """Root of the tree. `str()` gives the message and, on a second line, `Hint: …`."""

    retryable: ClassVar[bool] = False

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\nHint: {self.hint}" if self.hint else self.message

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), self.message, self.hint)


def _rebuild(kind: type[LedgerkeepError], message: str, hint: str) -> LedgerkeepError:
    """Unpickle without calling a subclass constructor, which may take other arguments."""
    error = kind.__new__(kind)
    LedgerkeepError.__init__(error, message, hint=hint)
    return error


class PolicyError(LedgerkeepError):
    """A policy file is refused: file, line, field, what was found, what is allowed."""


class WorkerError(LedgerkeepError):
    """The worker lacks something it needs: a program, an account, a directory."""


class StorageError(LedgerkeepError):
    """The object store refused or failed."""


class StoreUnavailable(StorageError):
    """The store did not answer, or throttled, until the retries were used up."""

    retryable = True


class BucketMissing(StorageError):
    """The bucket of the policy does not exist."""


class StoreAccessDenied(StorageError):
    """The credentials are wrong or lack the permission."""


class ObjectMissing(StorageError):
    """An object that should be there is not."""


class ObjectConflict(StorageError):
    """The key is taken by an object with different content; nothing was overwritten."""


class ObjectCorrupt(StorageError):
    """The bytes read back do not have the SHA-256 (or size) that was recorded."""


class CatalogError(LedgerkeepError):
    """The catalog cannot be read as it stands."""


class RecoveryPointMissing(CatalogError):
    """No recovery point has that id."""


class ChainBroken(CatalogError):
    """An incremental backup's parent is gone; what builds on it cannot be restored."""


class DatabaseError(LedgerkeepError):
    """The database under protection refused or failed."""


class DatabaseUnavailable(DatabaseError):
    """No connection could be made, or it was lost."""

    retryable = True


class DatabaseAccessDenied(DatabaseError):
    """The password is wrong, or the role lacks a privilege."""


class OperationRunning(DatabaseError):
    """The same operation already runs on this cluster."""

    retryable = True


class BackupInterrupted(DatabaseError):
    """The base backup stream ended before its end; nothing of it counts."""

    retryable = True


class PageChecksumFailure(DatabaseError):
    """The server found pages whose checksum is wrong while it was backed up."""


class IncrementImpossible(DatabaseError):
    """The server cannot take this incremental backup; a full one it can take."""


class WalError(DatabaseError):
    """WAL cannot be shipped without losing or mixing something."""


class WalGap(WalError):
    """Segments between what is stored and what the server still has are gone."""


class WalConflict(WalError):
    """A segment of that name is stored already, with other content."""


class ForeignCluster(WalError):
    """The server is not the one whose WAL is stored in this place (a clone, a restored copy)."""


class TimelineDiverged(WalError):
    """The server's history leaves the stored timeline before the stored WAL ends."""


class SlotMissing(WalError):
    """The replication slot is gone, although WAL was shipped from it before."""


class SlotInvalidated(WalError):
    """The server gave the slot's WAL up (max_slot_wal_keep_size)."""


class SlotInUse(WalError):
    """Somebody else streams from the slot."""

    retryable = True


class RecoveryError(LedgerkeepError):
    """A recovery cannot start, or did not reach its end."""


class TargetUnreachable(RecoveryError):
    """The target lies where no chain of recovery points leads; the hint names the nearest."""


class PreflightFailed(RecoveryError):
    """Something was found before the recovery that would have made it fail."""


class RestoreFailed(RecoveryError):
    """The restored cluster did not come up."""


class RecoveryStopped(RecoveryError):
    """Replay ended before the target was reached."""


class RecoveryRejected(RecoveryError):
    """A person who had to approve the recovery said no, or nobody answered in time."""


class ProofMismatch(RecoveryError):
    """The restored copy is not identical to the source; the tables are named."""


class ValidationFailed(RecoveryError):
    """The restored copy came up but breaks an expectation."""


class ConfigurationError(LedgerkeepError):
    """Configuration cannot be exported, compared or put back."""


class VersionMissing(ConfigurationError):
    """No version of the source has that id, or there was none yet at that time."""


class ForeignVersion(ConfigurationError):
    """A version, or what is live, belongs to another environment, account or tenant."""


class SealBroken(ConfigurationError):
    """Sealed values cannot be opened: their key is gone, or they were changed."""


class SourceChanged(ConfigurationError):
    """What is live has changed since the plan was made, so the plan no longer holds."""


class StateLocked(ConfigurationError):
    """Somebody else holds the lock of a Terraform state."""

    retryable: ClassVar[bool] = True


class RecoveryIncomplete(ConfigurationError):
    """Some changes were applied and some were not; doing it again finishes it."""


class RecoveryInterrupted(RecoveryIncomplete):
    """The service stopped answering in the middle; the same call goes on where it was."""

    retryable: ClassVar[bool] = True


class AwsRefused(LedgerkeepError):
    """An AWS service other than the object store refused a request."""


class AwsUnavailable(AwsRefused):
    """An AWS service did not answer, or throttled."""

    retryable: ClassVar[bool] = True


class ServiceRefused(LedgerkeepError):
    """The management API of a service that is not AWS refused a request."""


class ServiceUnavailable(ServiceRefused):
    """The management API did not answer, or asked us to come back later."""

    retryable: ClassVar[bool] = True


class ApplicationUnwell(LedgerkeepError):
    """The application does not answer, or says that it is not well."""

    retryable: ClassVar[bool] = True


class AirflowRefused(LedgerkeepError):
    """Airflow did not do what it was asked over its REST API."""


class RunFailed(LedgerkeepError):
    """A DAG run did not pass; with the end of the log of the task that failed first."""


class EvidenceError(LedgerkeepError):
    """Evidence cannot be written or read."""


class EvidenceChainBroken(EvidenceError):
    """A link of the evidence chain is missing, changed, or out of order."""
