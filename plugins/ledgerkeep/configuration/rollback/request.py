"""What is asked of a rollback: which services, and back to what. Pure.

One field says back to what, and takes a revision of a task definition (`backend:12`, an ARN, or
only the number, of each service's own family), the id of a stored version of the services, a time,
or `newest`, the last stored version.
"""

import re
from collections.abc import Iterable, Mapping

from ledgerkeep.configuration.recovery.form import read_version, reason_of
from ledgerkeep.configuration.recovery.request import ConfigurationRequest
from ledgerkeep.errors import RecoveryError
from ledgerkeep.model import Record

FIELDS = {"services", "version", "scenario", "reason"}
_REVISION = re.compile(
    r"(arn:aws[a-z-]*:ecs:[a-z0-9-]+:\d+:task-definition/)?(?P<family>[A-Za-z0-9_-]+):\d{1,9}"
)
_NUMBER = re.compile(r"\d{1,9}")

__all__ = ["RollbackRequest", "choose", "family_of", "read_form", "reason_of"]


class RollbackRequest(Record):
    """One rollback, as it is asked for."""

    services: tuple[str, ...] = ()
    """`cluster/service`, or the service's name where no other cluster has it; empty: all."""
    revision: str = ""
    """As it was written: `family:number`, an ARN, or a number. Empty: a stored version."""
    version: ConfigurationRequest | None = None
    """None: a revision."""

    @property
    def words(self) -> str:
        """What is asked for, in one line."""
        which = ", ".join(self.services) or "all services"
        return f"{which}, back to {self.goal}"

    @property
    def goal(self) -> str:
        """Back to what."""
        if self.version is None:
            return f"revision {self.revision}"
        return self.version.words.partition(", back to ")[2]


def read_form(form: Mapping[str, object]) -> RollbackRequest:
    """What is asked for.

    :raises RecoveryError: naming the field, what is wrong with it, and what to write.
    """
    if unknown := sorted(set(form) - FIELDS):
        raise RecoveryError(
            f"the form has no field {', '.join(unknown)}",
            hint=f"its fields are {', '.join(sorted(FIELDS))}",
        )
    told = form.get("version")
    text = told.strip() if isinstance(told, str) else ""
    if not text:
        raise RecoveryError(
            "nothing says back to what",
            hint="write a revision such as backend:12, a version's id, a time with its offset "
            "from UTC, or newest",
        )
    services = _services(form.get("services"))
    if _REVISION.fullmatch(text) or _NUMBER.fullmatch(text):
        return RollbackRequest(services=services, revision=text)
    return RollbackRequest(services=services, version=read_version("services", text))


def family_of(revision: str) -> str:
    """The family that a written revision names; empty where it is only a number."""
    found = _REVISION.fullmatch(revision)
    return found["family"] if found else ""


def choose(asked: Iterable[str], live: Iterable[str]) -> list[str]:
    """The keys of the services that are asked for; all where none is.

    :param live: `cluster/service` of all there are.
    :raises RecoveryError: there is no such service, or several clusters have one of that name.
    """
    known = sorted(live)
    if not known:
        raise RecoveryError(
            "there is no service to roll back",
            hint="correct configuration.sources.services.clusters in the policy",
        )
    found: set[str] = set()
    for name in asked:
        matches = [key for key in known if name in (key, key.split("/", 1)[1])]
        if len(matches) != 1:
            what = "more than one service" if matches else "no service"
            raise RecoveryError(
                f"there is {what} {name}",
                hint=f"choose among {', '.join(matches or known)}",
            )
        found.update(matches)
    return sorted(found) if found else known


def _services(told: object) -> tuple[str, ...]:
    lines = told.splitlines() if isinstance(told, str) else told or []
    if not isinstance(lines, list) or not all(isinstance(line, str) for line in lines):
        raise RecoveryError("the services are no list of texts", hint="write one name to a line")
    return tuple(dict.fromkeys(line.strip() for line in lines if line.strip()))
