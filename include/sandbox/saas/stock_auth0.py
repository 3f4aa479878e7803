"""A lender's tenant at Auth0."""

from include.sandbox.saas.auth0_tenant import Tenant, add

_POST_LOGIN = """exports.onExecutePostLogin = async (event, api) => {
  const ids = await fetch(event.secrets.CORE_URL + '/borrowers/' + event.user.user_id);
  api.accessToken.setCustomClaim('https://lender.example/borrower', ids);
};
"""
_RULE = "function (user, context, callback) {\n  callback(null, user, context);\n}\n"
_PAGE = (
    "<!DOCTYPE html><html><head>{%- auth0:head -%}</head><body>{%- auth0:widget -%}</body></html>"
)
LOANS_API = "https://api.lender.example/loans"


def tenant(domain: str, client_id: str, client_secret: str) -> Tenant:
    """One with nothing but the application that the backup uses."""
    made = Tenant(domain)
    add(made, "/resource-servers", name="Auth0 Management API", identifier=made.audience)
    only = next(iter(made.of("/resource-servers").values()))
    only |= {"is_system": True, "scopes": [{"value": "read:clients", "description": ""}]}
    own = add(
        made,
        "/clients",
        name="Ledgerkeep",
        app_type="non_interactive",
        grant_types=["client_credentials"],
        client_secret=client_secret,
    )
    clients = made.of("/clients")
    del clients[own["client_id"]]
    own["client_id"] = client_id
    clients[client_id] = own
    everything = add(made, "/clients", name="All Applications")
    everything["global"] = True
    add(
        made,
        "/client-grants",
        client_id=client_id,
        audience=made.audience,
        scope=["read:clients", "update:clients"],
        subject_type="client",
    )
    made.settings = {"friendly_name": domain.split(".")[0], "flags": {"universal_login": True}}
    return made


def lender(domain: str, client_id: str, client_secret: str) -> Tenant:
    """One as a lender has it."""
    made = tenant(domain, client_id, client_secret)
    made.settings |= {
        "friendly_name": "Lender",
        "support_email": "help@lender.example",
        "session_lifetime": 8,
        "idle_session_lifetime": 1,
        "enabled_locales": ["en", "de"],
        "flags": {"universal_login": True, "enable_public_signup_user_exists_error": True},
    }
    made.branding = {
        "colors": {"primary": "#0b3d91", "page_background": "#ffffff"},
        "logo_url": "https://lender.example/logo.png",
    }
    made.login_page = _PAGE
    made.factors |= {"otp": True, "sms": True}
    made.policies = ["all-applications"]
    made.rule_settings = {"core_url": "https://core.lender.example"}
    made.domains = [
        {
            "custom_domain_id": "cd_4Vx1pQmZc1",
            "domain": "login.lender.example",
            "primary": True,
            "status": "ready",
            "type": "auth0_managed_certs",
            "verification": {"methods": [{"name": "CNAME", "record": "edge.auth0.example"}]},
        }
    ]
    made.email_provider = {
        "name": "sendgrid",
        "enabled": True,
        "default_from_address": "no-reply@lender.example",
        "credentials": {"api_key": "SG.stand-in.never-told"},
    }
    made.email_templates["verify_email"] = {
        "template": "verify_email",
        "body": "<html><body>Confirm your address: {{ url }}</body></html>",
        "from": "no-reply@lender.example",
        "subject": "Confirm your address",
        "syntax": "liquid",
        "urlLifetimeInSeconds": 432000,
        "enabled": True,
    }
    _apis(made)
    _applications(made)
    _connections(made)
    _code(made)
    add(
        made,
        "/log-streams",
        name="Security monitoring",
        type="http",
        status="active",
        sink={
            "httpEndpoint": "https://siem.lender.example/auth0",
            "httpContentType": "application/json",
            "httpContentFormat": "JSONLINES",
            "httpAuthorization": "Bearer siem-ingest-token",
        },
        filters=[{"type": "category", "name": "auth.login.fail"}],
    )
    return made


def _apis(made: Tenant) -> None:
    api = add(
        made,
        "/resource-servers",
        name="Loans",
        identifier=LOANS_API,
        signing_alg="RS256",
        token_lifetime=3600,
        scopes=[
            {"value": "read:loans", "description": "See loans"},
            {"value": "decide:loans", "description": "Approve and decline"},
        ],
    )
    for name, scopes in (
        ("Underwriter", ["read:loans", "decide:loans"]),
        ("Servicing agent", ["read:loans"]),
    ):
        role = add(made, "/roles", name=name, description=f"{name} of the loan system")
        made.permissions[role["id"]] = [
            {
                "permission_name": scope,
                "resource_server_identifier": LOANS_API,
                "resource_server_name": api["name"],
            }
            for scope in scopes
        ]


def _applications(made: Tenant) -> None:
    portal = add(
        made,
        "/clients",
        name="Borrower portal",
        app_type="regular_web",
        callbacks=["https://portal.lender.example/callback"],
        allowed_logout_urls=["https://portal.lender.example"],
        grant_types=["authorization_code", "refresh_token"],
        jwt_configuration={"alg": "RS256", "lifetime_in_seconds": 36000, "secret_encoded": False},
        client_metadata={"owner": "digital", "tier": "1"},
    )
    worker = add(
        made,
        "/clients",
        name="Loan service",
        app_type="non_interactive",
        grant_types=["client_credentials"],
        token_endpoint_auth_method="client_secret_post",
        allowed_clients=[portal["client_id"]],
    )
    add(
        made,
        "/client-grants",
        client_id=worker["client_id"],
        audience=LOANS_API,
        scope=["read:loans", "decide:loans"],
        subject_type="client",
    )


def _connections(made: Tenant) -> None:
    by_name = {one["name"]: one for one in made.of("/clients").values()}
    users = add(
        made,
        "/connections",
        name="borrowers",
        strategy="auth0",
        realms=["borrowers"],
        is_domain_connection=False,
        options={"passwordPolicy": "excellent", "brute_force_protection": True},
    )
    staff = add(
        made,
        "/connections",
        name="staff",
        strategy="oidc",
        realms=["staff"],
        is_domain_connection=False,
        options={
            "client_id": "auth0-at-idp",
            "client_secret": "staff-idp-secret",
            "discovery_url": "https://idp.lender.example/.well-known/openid-configuration",
        },
    )
    made.enabled[users["id"]] = {by_name["Borrower portal"]["client_id"]}
    made.enabled[staff["id"]] = {one["client_id"] for one in by_name.values() if not one["global"]}
    broker = add(made, "/organizations", name="broker-one", display_name="Broker One")
    made.organization_connections[broker["id"]] = {
        staff["id"]: {
            "connection_id": staff["id"],
            "assign_membership_on_login": True,
            "show_as_button": False,
            "connection": {"name": "staff", "strategy": "oidc"},
        }
    }


def _code(made: Tenant) -> None:
    add(
        made,
        "/rules",
        name="Audit login",
        script=_RULE,
        order=1,
        enabled=True,
        stage="login_success",
    )
    action = add(
        made,
        "/actions/actions",
        name="Borrower claims",
        code=_POST_LOGIN,
        runtime="node22",
        supported_triggers=[{"id": "post-login", "version": "v3"}],
        dependencies=[{"name": "undici", "version": "6.21.0"}],
        secrets=[{"name": "CORE_URL", "value": "https://core.lender.example"}],
    )
    action |= {"status": "built", "all_changes_deployed": True}
    made.bindings["post-login"] = [
        {
            "id": "bound-1",
            "trigger_id": "post-login",
            "action": {"id": action["id"], "name": action["name"]},
            "display_name": "Borrower claims",
        }
    ]
