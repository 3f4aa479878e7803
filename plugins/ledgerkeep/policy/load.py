"""Policies from their files: refused with file, line, field, what was found and what is allowed.

DAG files read them at every parse, so loading is quick and touches nothing but the files; what a
file says is made out once in a process, for as long as it says the same.

**One broken file must not hide the other environments.** Airflow registers no DAG at all of a
file that raises while it is imported. Therefore a DAG file that builds the DAGs of an area loops
over `load_policies()`, which gives the sound policies and never raises for a broken one:

    for policy in load_policies():
        build(policy)

and one DAG file, `dags/policies.py`, builds nothing and calls `refuse_broken_policies()`: it
shows as an import error in Airflow that names every broken file and field, for as long as one is
broken, while the DAGs of the sound environments go on running from the other files.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from ledgerkeep.errors import PolicyError
from ledgerkeep.policy.document import (
    Document,
    DocumentRefused,
    Fault,
    FieldPath,
    field_name,
    parse_document,
    read_text,
)
from ledgerkeep.policy.files import missing_files
from ledgerkeep.policy.model import Policy
from ledgerkeep.policy.sense import contradictions
from ledgerkeep.worker import worker_settings


@dataclass(frozen=True)
class LoadedPolicy:
    """One policy file: the policy it holds, or everything that is wrong with it."""

    path: Path
    policy: Policy | None
    faults: tuple[Fault, ...] = ()

    def error(self) -> PolicyError | None:
        """The refusal of the file; None when it is sound."""
        if not self.faults:
            return None
        count = f"{len(self.faults)} fault" + ("s" if len(self.faults) > 1 else "")
        lines = "".join(f"\n  {fault}" for fault in self.faults)
        return PolicyError(
            f"policy {self.path} is refused for {count}:{lines}",
            hint=f"correct the file, then check it: ledgerkeep policy check {self.path}",
        )


def load_policy(path: Path) -> Policy:
    """The policy of one file.

    :raises PolicyError: naming all faults of the file.
    """
    loaded = read_policy(path)
    error = loaded.error()
    if error is not None:
        raise error
    assert loaded.policy is not None  # noqa: S101 - a file without faults has a policy
    return loaded.policy


def load_environment(environment: str, directory: Path | None = None) -> Policy:
    """The policy of one environment.

    :raises PolicyError: there is no such file, or it is broken.
    """
    directory = directory or worker_settings().policies
    known = [path.stem for path in sorted(directory.glob("*.yaml"))]
    if environment not in known:
        raise PolicyError(
            f"there is no policy for {environment!r} in {directory}",
            hint=f"the environments are {', '.join(known)}"
            if known
            else "point LEDGERKEEP_POLICIES at the directory that has them",
        )
    return load_policy(directory / f"{environment}.yaml")


def load_policies(directory: Path | None = None) -> list[Policy]:
    """The sound policies of a directory, by environment name; broken ones are left out.

    :param directory: the worker's policy directory (`LEDGERKEEP_POLICIES`) by default.
    """
    return [loaded.policy for loaded in read_policies(directory) if loaded.policy is not None]


def refuse_broken_policies(directory: Path | None = None) -> None:
    """Do nothing when every policy of the directory is sound.

    :raises PolicyError: naming all faults of all files, or that the directory holds no policy.
    """
    directory = directory or worker_settings().policies
    loaded = read_policies(directory)
    if not loaded:
        raise PolicyError(
            f"no policy in {directory}",
            hint="put one file per environment there, such as production.yaml, "
            "or point LEDGERKEEP_POLICIES at the directory that has them",
        )
    errors = [error for one in loaded if (error := one.error()) is not None]
    if len(errors) == 1:
        raise errors[0]
    if errors:
        raise PolicyError(
            "\n".join(error.message for error in errors),
            hint="correct the files, then check them: ledgerkeep policy check",
        )


def read_policies(directory: Path | None = None) -> list[LoadedPolicy]:
    """Every policy file (`*.yaml`) of a directory, sound or broken, by name."""
    directory = directory or worker_settings().policies
    return [read_policy(path) for path in sorted(directory.glob("*.yaml"))]


def read_policy(path: Path) -> LoadedPolicy:
    """One policy file, sound or broken; raises nothing for a broken one."""
    try:
        document, policy, faults = _understood(path, read_text(path))
    except DocumentRefused as refused:
        return LoadedPolicy(path, None, tuple(refused.faults))
    if policy is not None:
        # Not remembered: those files come and go while the policy stays as it is.
        missing = _named(document, missing_files(policy, worker_settings().sql))
        faults = _by_line([*faults, *missing])
    return LoadedPolicy(path, None if faults else policy, faults)


@lru_cache(maxsize=16)
def _understood(path: Path, text: str) -> tuple[Document, Policy | None, tuple[Fault, ...]]:
    """What a policy file says and what is wrong with it, remembered as long as it says the same.

    Pages, the steps of a command and tests ask for the same ones again and again in one process.

    :raises DocumentRefused:
    """
    document = parse_document(text)
    try:
        policy = Policy.model_validate(document.values)
    except ValidationError as problem:
        found = [_fault(document, error) for error in problem.errors(include_url=False)]
        return document, None, _by_line(found)
    return document, policy, _named(document, [*_misplaced(path, policy), *contradictions(policy)])


def _named(document: Document, found: Iterable[tuple[FieldPath, str, str]]) -> tuple[Fault, ...]:
    return _by_line(
        Fault(document.line_of(where), field_name(where), what, allowed)
        for where, what, allowed in found
    )


def _by_line(faults: Iterable[Fault]) -> tuple[Fault, ...]:
    return tuple(sorted(faults, key=lambda fault: fault.line))


def _misplaced(path: Path, policy: Policy) -> list[tuple[FieldPath, str, str]]:
    if path.stem == policy.environment:
        return []
    allowed = f"'{path.stem}', as the file is named, or the file named {policy.environment}.yaml"
    return [(("environment",), f"'{policy.environment}'", allowed)]


def _fault(document: Document, error: ErrorDetails) -> Fault:
    """A pydantic error in the words of a policy's author."""
    where: FieldPath = tuple(step for step in error["loc"] if step != "[key]")
    found = _shown(error["input"])
    kind = error["type"]
    if kind == "missing":
        found, allowed = "nothing", "this field is required"
    elif kind == "extra_forbidden":
        found, allowed = "an unknown field", _known_fields(where)
    elif kind in ("model_type", "model_attributes_type", "dict_type"):
        allowed = "a section with fields of its own"
    else:
        allowed = _ALLOWED.get(kind, error["msg"]).format_map(_words(error))
    return Fault(document.line_of(where), field_name(where), found, allowed)


_ALLOWED = {
    "literal_error": "{expected}",
    "value_error": "{error}",
    "string_type": "text",
    "string_too_short": "text of at least {min_length} character",
    "string_too_long": "text of at most {max_length} characters",
    "string_pattern_mismatch": "text of the form {pattern}",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "list_type": "a list",
    "too_short": "a list of at least {min_length}",
    "greater_than": "more than {gt}",
    "greater_than_equal": "{ge} or more",
    "less_than_equal": "{le} or less",
}


def _words(error: ErrorDetails) -> dict[str, Any]:
    words = dict(error.get("ctx", {}))
    if str(words.get("pattern", "")).count(" ") == 1 and "{4}" in words["pattern"]:
        words["pattern"] = "minute hour day-of-month month day-of-week, such as 0 1 * * *"
    return words


def _shown(value: object) -> str:
    if isinstance(value, dict):
        return "a section"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    return {None: "null", True: "true", False: "false"}.get(value, repr(value))  # type: ignore[call-overload,no-any-return]


def _known_fields(where: FieldPath) -> str:
    """The fields of the section that `where` is in, the most similar name first."""
    section: type[BaseModel] | None = Policy
    for step in where[:-1]:
        section = _section(section, str(step)) if section else None
    names = list(section.model_fields) if section else []
    similar = get_close_matches(str(where[-1]), names, n=1)
    meant = f"did you mean {similar[0]}? known fields: " if similar else ""
    return meant + ", ".join(names)


def _section(section: type[BaseModel], name: str) -> type[BaseModel] | None:
    """The model of a field, also when the field may be null."""
    annotation = section.model_fields[name].annotation
    for candidate in (annotation, *getattr(annotation, "__args__", ())):
        if isinstance(candidate, type) and issubclass(candidate, BaseModel):
            return candidate
    return None
