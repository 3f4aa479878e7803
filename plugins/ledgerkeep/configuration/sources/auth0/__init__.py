"""Auth0: everything that makes a tenant what it is, but its users.

Applications and what they may (APIs, grants, roles), where users come from (connections,
organizations), the code that runs as they log in (rules, actions), and the tenant's own settings.
The Management API's token is got with the client credentials of an application of the tenant,
for the tenant's own API; that API's identifier, `https://{tenant}/api/v2/`, is what tells one
tenant from another, and Auth0 itself refuses a token for one that is not its own.

What Auth0 tells nobody (values of action secrets and of rules' settings, credentials of the e-mail
provider) and what needs DNS (custom domains) is exported as far as it is known, and put back by
hand. An application that is made anew keeps its secret but gets a new client id, which a person has
to tell those who use it, and new signing keys, which are no part of an export. The application that
the connection itself uses is never deleted, nor is its secret exported.
(Auth0 Management API v2 reference; Rate limit policy.)
"""

from collections.abc import Iterable

from ledgerkeep.configuration.access import Access
from ledgerkeep.configuration.kinds import Kind
from ledgerkeep.configuration.kinds_source import KindsSource
from ledgerkeep.configuration.owner import Place
from ledgerkeep.configuration.sources.auth0.kinds import kinds_of
from ledgerkeep.configuration.sources.auth0.tenant import Tenant
from ledgerkeep.errors import ServiceRefused
from ledgerkeep.policy.configuration_sources import ManagementApiSource
from ledgerkeep.policy.model import Policy


def open_source(access: Access, settings: ManagementApiSource, policy: Policy) -> "Auth0":
    """The tenant of a policy."""
    patience = settings.patience.total_seconds()
    login = access.login(settings.connection_id)
    tenant = Tenant(login, settings.connection_id, patience, Place())

    def open_test(connection: str, place: Place) -> Tenant:
        return Tenant(access.login(connection), connection, patience, place, tenant)

    return Auth0(tenant, open_test, settings, policy.environment)


class Auth0(KindsSource[Tenant]):
    """One tenant."""

    name = "auth0"
    why_no_place = (
        "auth0 has no isolated place within a tenant; name a test tenant's connection in "
        "configuration.sources.auth0.test_connection_id"
    )

    @staticmethod
    def kinds(owner: Tenant) -> list[Kind]:
        """Those of `kinds_of`."""
        return kinds_of(owner)

    def settled(self, keys: Iterable[str]) -> list[str]:
        """Applications that work for themselves get a token; actions are built."""
        touched = set(keys)
        found: list[str] = []
        for name in self.owner.clients.rows():
            if f"client/{self.owner.place.inward(name)}" in touched:
                found += self._token_trouble(name)
        for name, row in self.owner.actions.rows().items():
            failed = row.get("status") == "failed"
            if failed and f"action/{self.owner.place.inward(name)}" in touched:
                found.append(f"the action {name} could not be built")
        return found

    def _token_trouble(self, name: str) -> list[str]:
        row = self.owner.clients.rows()[name]
        granted = [
            one["audience"]
            for one in self.owner.grants.rows().values()
            if one["client_id"] == row["client_id"]
        ]
        if "client_credentials" not in row.get("grant_types", ()) or not granted:
            return []
        try:
            self.owner.token_for(row, sorted(granted)[0])
        except ServiceRefused as problem:
            return [f"the application {name} gets no token: {problem.message}"]
        return []
