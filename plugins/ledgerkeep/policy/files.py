"""Files that a policy names: a check or a key query without its file is refused with the policy.

Otherwise it would be found out in the middle of a recovery.
"""

from collections.abc import Iterator
from pathlib import Path

from ledgerkeep.policy.document import FieldPath
from ledgerkeep.policy.model import Policy


def missing_files(policy: Policy, sql: Path) -> Iterator[tuple[FieldPath, str, str]]:
    """Every named file that is not there, as (field, found, allowed).

    :param sql: the worker's `include/sql`.
    """
    for field, named in policy.database.validation.questions.items():
        kind = "queries" if field == "key_queries" else "checks"
        known = sorted(path.stem for path in (sql / kind).glob("*.sql"))
        for number, one in enumerate(named):
            if one.name not in known:
                yield (
                    ("database", "validation", field, number, "name"),
                    f"'{one.name}', of which there is no file in {sql / kind}",
                    ", ".join(known) or "none, as long as that directory has no .sql file",
                )
