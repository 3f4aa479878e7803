"""What decides what Ledgerkeep itself may do: its own role or user, and what hangs on that.

A recovery that changes its own identity may lose its permissions in the middle of its work, and
then nothing can put it right but a person; so a person does it to begin with. IAM is asked once,
when it is first needed. (AWS STS API reference, GetCallerIdentity.)
"""

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any

from ledgerkeep.configuration.sources.iam.api import Api
from ledgerkeep.configuration.sources.iam.kind import State
from ledgerkeep.configuration.sources.iam.principals import Groups, Roles, Users


class OwnIdentity:
    """The identity that requests are sent as."""

    def __init__(self, api: Api, caller: str) -> None:
        """The identity of an ARN.

        :param caller: as STS tells it: of an assumed role's session, or of a user.
        """
        self._api = api
        self.caller = caller

    def refusal(
        self, key: str, before: Mapping[str, Any] | None, after: Mapping[str, Any] | None
    ) -> str:
        """Why an entity must not be changed by this identity; empty: it may be."""
        if key not in self.keys and not self._is_its_profile(key, before, after):
            return ""
        return (
            f"{key} decides what {self.caller} may do, as which Ledgerkeep runs: change it as "
            "somebody else, after the difference that is shown, or run the recovery over a "
            "connection with another identity"
        )

    @cached_property
    def keys(self) -> frozenset[str]:
        """Of itself, its boundary, its policies, its groups with theirs, and whom it trusts."""
        kind, name = self._itself()
        if not kind:
            return frozenset()
        reader = Roles(self._api) if kind == "role" else Users(self._api)
        state = reader.read(name, "")
        return frozenset({f"{kind}/{name}", *self._hanging(state), *self._trusted(state)})

    def _trusted(self, state: State | None) -> Iterator[str]:
        """By way of whom the role is assumed: a provider, or another role or user."""
        for statement in (state or {}).get("trust", {}).get("Statement", []):
            principals = statement.get("Principal", {})
            if isinstance(principals, Mapping):
                for arn in (*principals.get("Federated", []), *principals.get("AWS", [])):
                    yield _key(self._api.reference(arn))

    def _hanging(self, state: State | None) -> Iterator[str]:
        if state is None:
            return
        references = [*state["attached"], state.get("boundary", "")]
        # What AWS manages cannot be changed by anybody.
        yield from (_key(one) for one in references if one.startswith("policy/"))
        for group in state.get("groups", []):
            yield f"group/{group}"
            yield from self._hanging(Groups(self._api).read(group, ""))

    def _is_its_profile(
        self, key: str, before: Mapping[str, Any] | None, after: Mapping[str, Any] | None
    ) -> bool:
        kind, name = self._itself()
        roles = {(one or {}).get("role") for one in (before, after)}
        return kind == "role" and key.startswith("instance-profile/") and name in roles

    def _itself(self) -> tuple[str, str]:
        """(kind, name); empty for what IAM does not hold, such as the account's root."""
        resource = self.caller.split(":", 5)[5].split("/")
        kinds = {"assumed-role": ("role", resource[1:2]), "user": ("user", resource[-1:])}
        kind, found = kinds.get(resource[0], ("", [""]))
        return kind, "".join(found)


def _key(reference: str) -> str:
    """The key of what a reference refers to: a provider's name is all that follows its kind."""
    kind, _, rest = reference.partition("/")
    return reference if kind.endswith("-provider") else f"{kind}/{rest.rsplit('/', 1)[-1]}"
