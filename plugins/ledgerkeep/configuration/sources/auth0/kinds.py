"""The kinds of a tenant, in the order in which they can be put back."""

from collections.abc import Mapping

from ledgerkeep.configuration.items import Content
from ledgerkeep.configuration.kinds import Derived, Kind, Shape, Single, ids
from ledgerkeep.configuration.source import Planned
from ledgerkeep.configuration.sources.auth0.access import (
    ClientGrants,
    ClientLinks,
    Clients,
    Connections,
    Organizations,
    OwnClient,
    OwnGrants,
    ResourceServers,
    Roles,
)
from ledgerkeep.configuration.sources.auth0.code import Actions, Rules, RuleSettings, Triggers
from ledgerkeep.configuration.sources.auth0.messages import (
    BrandingTemplate,
    EmailProvider,
    EmailTemplates,
    Factors,
    LogStreams,
    Policies,
)
from ledgerkeep.configuration.sources.auth0.tenant import Tenant

_SETTINGS = Shape(
    left_out=frozenset(
        {
            "sandbox_versions_available",
            "flags.allow_changing_enable_sso",
            "flags.cannot_change_enforce_client_authentication_on_passwordless_start",
        }
    )
)


def kinds_of(tenant: Tenant) -> list[Kind]:
    """All of them; what is referred to first."""
    api, place = tenant.api, tenant.place
    return [
        Single(api, "tenant/settings", "/tenants/settings", _SETTINGS),
        Derived("custom-domain", lambda: _domains(tenant), _domain_words, "it needs DNS"),
        Single(api, "branding/settings", "/branding"),
        BrandingTemplate(tenant),
        ResourceServers(api, place, tenant.apis),
        OwnClient(tenant),
        Clients(tenant),
        ids("client-id", tenant.clients, "application"),
        OwnGrants(tenant),
        ClientGrants(tenant),
        Connections(tenant),
        Roles(tenant),
        Organizations(tenant),
        ClientLinks(tenant),
        RuleSettings(tenant),
        Rules(api, place, tenant.rules),
        Actions(api, place, tenant.actions),
        Derived("action-secret", lambda: _action_secrets(tenant), _secret_words),
        Triggers(tenant),
        EmailProvider(tenant),
        EmailTemplates(tenant),
        Factors(tenant),
        Policies(tenant),
        LogStreams(api, place, tenant.log_streams),
    ]


def _domains(tenant: Tenant) -> Mapping[str, Mapping[str, Content]]:
    told = ("domain", "type", "primary", "tls_policy", "custom_client_ip_header")
    return {
        row["domain"]: {name: row[name] for name in told if name in row}
        for row in tenant.all("/custom-domains")
    }


def _domain_words(change: Planned) -> str:
    domain = change.key.partition("/")[2]
    if change.action == "delete":
        return f"remove the custom domain {domain} in Auth0's dashboard (Branding, Custom Domains)"
    return (
        f"set up the custom domain {domain} in Auth0's dashboard (Branding, Custom Domains), and "
        "enter the record that it shows there in DNS"
    )


def _action_secrets(tenant: Tenant) -> Mapping[str, Mapping[str, Content]]:
    found: dict[str, Mapping[str, Content]] = {}
    for outer, row in tenant.actions.rows().items():
        action = tenant.place.inward(outer)
        if action is not None:
            for secret in row.get("secrets") or []:
                name = secret["name"]
                found[f"{action}: {name}"] = {"action": action, "name": name}
    return found


def _secret_words(change: Planned) -> str:
    action, _colon, secret = change.key.partition("/")[2].rpartition(": ")
    if change.action == "delete":
        return f"remove the secret {secret} of the action {action} in Auth0, and deploy the action"
    return (
        f"enter the secret {secret} of the action {action} in Auth0, and deploy the action: "
        "Auth0 tells nobody its value, so that it is in no version"
    )
