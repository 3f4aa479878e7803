"""A lender's account at SendGrid."""

from typing import Any

from include.sandbox.saas.sendgrid import Account, api_key, template


def account(username: str, key: str) -> Account:
    """One with nothing but the key that the backup uses."""
    made = Account(username, key)
    api_key(made, "Ledgerkeep", ["templates.read", "templates.create"], key)
    return made


def lender(username: str, key: str) -> Account:
    """One as a lender has it."""
    made = account(username, key)
    for name, subject in (
        ("Application received", "We have your application, {{name}}"),
        ("Loan approved", "Your loan of {{amount}} is approved"),
        ("Payment reminder", "Payment due on {{due}}"),
    ):
        template(made, name, _version("v1", subject, 0), _version("v2", subject, 1))
    _group(made, "Payment reminders", "Before a payment is due", True)
    _group(made, "Offers", "New products", False)
    sender = made.number()
    made.senders[str(sender)] = {
        "id": sender,
        "nickname": "Loan service",
        "from_email": "loans@lender.example",
        "from_name": "Lender",
        "reply_to": "help@lender.example",
        "address": "1 Main Street",
        "city": "Frankfurt",
        "country": "DE",
        "verified": True,
        "locked": False,
    }
    made.webhooks["3f1f8f1e-7a55-4f0e-9a0b-6f3f6b0f1c11"] = {
        "id": "3f1f8f1e-7a55-4f0e-9a0b-6f3f6b0f1c11",
        "friendly_name": "Delivery log",
        "url": "https://mail.lender.example/events",
        "enabled": True,
        "delivered": True,
        "bounce": True,
        "public_key": "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE-stand-in",
        "created_date": "2024-02-01T10:00:00Z",
    }
    made.parses["replies.lender.example"] = {
        "hostname": "replies.lender.example",
        "url": "https://mail.lender.example/replies",
        "spam_check": True,
        "send_raw": False,
    }
    api_key(made, "Loan service", ["mail.send"])
    made.domains.append(_domain("em1234", "lender.example"))
    made.settings["mail_settings/footer"] = {
        "enabled": True,
        "html_content": "<p>Lender, 1 Main Street, Frankfurt</p>",
        "plain_content": "Lender, 1 Main Street, Frankfurt",
    }
    made.settings["tracking_settings/open"]["enabled"] = True
    return made


def _version(name: str, subject: str, active: int) -> dict[str, Any]:
    html = f"<html><body><p>{subject}</p><!-- {name} --></body></html>"
    return {"name": name, "subject": subject, "active": active, "html_content": html}


def _group(made: Account, name: str, description: str, default: bool) -> None:
    id_ = made.number()
    made.groups[str(id_)] = {
        "id": id_,
        "name": name,
        "description": description,
        "is_default": default,
    }


def _domain(subdomain: str, domain: str) -> dict[str, Any]:
    return {
        "id": 302183,
        "user_id": 1446226,
        "subdomain": subdomain,
        "domain": domain,
        "username": "lender",
        "ips": [],
        "custom_spf": False,
        "default": True,
        "automatic_security": True,
        "valid": True,
        "dns": {
            "mail_cname": {
                "valid": True,
                "type": "cname",
                "host": f"{subdomain}.{domain}",
                "data": "u1446226.wl.sendgrid.example",
            }
        },
        "last_validation_attempt_at": 1700000000,
    }
