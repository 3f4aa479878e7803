"""What a command works with: the policy of its environment, the open store, the catalog.

The policy comes from the worker's policy directory, access to the store from boto3's usual chain
(`AWS_…` variables, profile, role), everything of the machine from `LEDGERKEEP_…`.
"""

from dataclasses import dataclass

from ledgerkeep.catalog.catalog import Catalog
from ledgerkeep.errors import CatalogError
from ledgerkeep.policy.load import load_environment
from ledgerkeep.policy.model import Policy
from ledgerkeep.worker import worker_settings


@dataclass(frozen=True)
class Session:
    """One environment, opened."""

    policy: Policy
    catalog: Catalog


def open_session(environment: str) -> Session:
    """Read the policy, open its bucket and look whether it is there.

    :raises PolicyError, StorageError:
    """
    from ledgerkeep.storage.open import open_store

    settings = worker_settings()
    policy = load_environment(environment, settings.policies)
    store = open_store(policy.storage, settings)
    store.check()
    return Session(policy, Catalog(store, policy))


def choose_cluster(catalog: Catalog, wanted: str | None) -> str:
    """The system identifier to work on: the wanted one, or the only one.

    :raises CatalogError: none is stored, several are and none was named, or not that one.
    """
    known = catalog.system_identifiers()
    where = f"{catalog.store.location}/{catalog.environment}"
    if not known:
        raise CatalogError(
            f"{where} holds no cluster",
            hint=f"run the DAG {catalog.environment}_database_full_backup first",
        )
    if wanted is None and len(known) > 1:
        raise CatalogError(
            f"{where} holds {len(known)} clusters",
            hint=f"say which: --system-identifier {' or '.join(known)}",
        )
    if wanted is not None and wanted not in known:
        raise CatalogError(
            f"{where} holds no cluster {wanted}", hint=f"it holds {', '.join(known)}"
        )
    return wanted or known[0]
