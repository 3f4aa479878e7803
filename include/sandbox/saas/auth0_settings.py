"""What a tenant of the Auth0 stand-in has once: settings, pages, e-mails, factors."""

from include.sandbox.saas.auth0_tenant import Tenant, checked, error, merged
from include.sandbox.saas.server import Reply, Request

_FLAGS_READ_ONLY = ("cannot_change_enforce_client_authentication_on_passwordless_start",)


def settings(tenant: Tenant, request: Request) -> Reply:
    """The tenant's own."""
    if request.method == "PATCH":
        body = request.json()
        checked(body, ("sandbox_versions_available",))
        checked(body.get("flags", {}), _FLAGS_READ_ONLY)
        merged(tenant.settings, body)
    told = {**tenant.settings, "sandbox_versions_available": ["18", "22"]}
    told["flags"] = {**dict.fromkeys(_FLAGS_READ_ONLY, True), **told.get("flags", {})}
    return Reply(200, told)


def branding(tenant: Tenant, request: Request) -> Reply:
    """Colours and logo."""
    if request.method == "PATCH":
        merged(tenant.branding, request.json())
    return Reply(200, dict(tenant.branding))


def login_page(tenant: Tenant, request: Request) -> Reply:
    """The page around the login."""
    if request.method == "PUT":
        tenant.login_page = request.json()["template"]
        return Reply(204)
    if request.method == "DELETE":
        tenant.login_page = None
        return Reply(204)
    if tenant.login_page is None:
        return Reply(404, error(404, "Not Found", "No template", "inexistent_template"))
    return Reply(200, {"body": tenant.login_page})


def email_provider(tenant: Tenant, request: Request) -> Reply:
    """Who sends; never with credentials."""
    if request.method == "DELETE":
        tenant.email_provider = None
        return Reply(204)
    if tenant.email_provider is None:
        return Reply(404, error(404, "Not Found", "No provider", "inexistent_email_provider"))
    if request.method == "PATCH":
        merged(tenant.email_provider, request.json())
    told = dict(tenant.email_provider)
    hidden = {"api_key", "smtp_pass", "secretAccessKey"}
    credentials = told.get("credentials", {})
    told["credentials"] = {k: one for k, one in credentials.items() if k not in hidden}
    return Reply(200, told)


def email_template(tenant: Tenant, request: Request, name: str = "") -> Reply:
    """One text."""
    if request.method == "POST":
        body = request.json()
        tenant.email_templates[body["template"]] = body
        return Reply(200, body)
    if name not in tenant.email_templates:
        said = "The template does not exist."
        return Reply(404, error(404, "Not Found", said, "inexistent_email_template"))
    if request.method == "PATCH":
        merged(tenant.email_templates[name], request.json())
    return Reply(200, dict(tenant.email_templates[name]))


def factors(tenant: Tenant, request: Request, name: str = "") -> Reply:
    """Second factors."""
    if request.method == "PUT":
        tenant.factors[name] = request.json()["enabled"]
        return Reply(200, {"enabled": tenant.factors[name]})
    rows = [
        {"name": one, "enabled": on, "trial_expired": False} for one, on in tenant.factors.items()
    ]
    return Reply(200, rows)


def policies(tenant: Tenant, request: Request) -> Reply:
    """When a second factor is asked for."""
    if request.method == "PUT":
        tenant.policies = request.json()
    return Reply(200, tenant.policies)


def rule_settings(tenant: Tenant, request: Request, key: str = "") -> Reply:
    """Names only."""
    if request.method == "DELETE":
        tenant.rule_settings.pop(key, None)
        return Reply(204)
    return Reply(200, [{"key": one} for one in tenant.rule_settings])
