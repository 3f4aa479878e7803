"""A lender's account at DocuSign."""

from typing import Any

from include.sandbox.saas.docusign_account import Account
from include.sandbox.saas.docusign_templates import add_template

LOGO = b"\x89PNG\r\n\x1a\n" + b"stand-in" * 40


def account(id_: str) -> Account:
    """One with nothing in it but what every account has."""
    made = Account(id_)
    made.groups["1"] = {"groupId": "1", "groupName": "Administrators", "groupType": "adminGroup"}
    made.groups["2"] = {"groupId": "2", "groupName": "Everyone", "groupType": "everyoneGroup"}
    made.settings[""] = {"accountName": "Tests", "allowBulkSend": "false"}
    return made


def lender(id_: str) -> Account:
    """One as a lender has it."""
    made = account(id_)
    made.settings = {
        "": {"accountName": "Lender", "allowBulkSend": "true", "idCheckRequired": "always"},
        "password_rules": {"minimumPasswordLength": "12", "passwordStrengthType": "strong"},
        "notification_defaults": {"emailNotifications": {"senderEnvelopeDeclined": "true"}},
        "tabs": {"allowTabOrder": "true", "textTabsEnabled": "true"},
        "envelope_purge_configuration": {"purgeEnvelopes": "false", "retentionDays": "3650"},
    }
    for number, name in enumerate(("ada", "ben", "cleo"), start=1):
        email = f"{name}@lender.example"
        made.users[f"u{number}"] = {"userId": f"u{number}", "email": email, "userName": name}
    made.brands["b-1"] = {
        "brandId": "b-1",
        "brandName": "Lender",
        "brandCompany": "Lender AG",
        "colors": [{"name": "buttonPrimaryBackground", "value": "#0b3d91"}],
        "isSendingDefault": True,
    }
    made.logos["b-1", "primary"] = LOGO
    made.fields["11"] = {
        "fieldId": "11",
        "name": "Loan number",
        "required": "true",
        "show": "true",
        "customFieldType": "text",
    }
    made.fields["12"] = {
        "fieldId": "12",
        "name": "Product",
        "listItems": ["mortgage", "car"],
        "required": "false",
        "show": "true",
        "customFieldType": "list",
    }
    made.profiles["21"] = {
        "permissionProfileId": "21",
        "permissionProfileName": "Underwriter",
        "settings": {"allowEnvelopeSending": "true", "allowBulkSending": "false"},
    }
    made.groups["31"] = {
        "groupId": "31",
        "groupName": "Underwriting",
        "groupType": "customGroup",
        "permissionProfileId": "21",
    }
    made.members["31"] = {"u1", "u2"}
    made.signing_groups["41"] = {
        "signingGroupId": "41",
        "groupName": "Approvers",
        "groupType": "sharedSigningGroup",
        "groupEmail": "",
        "users": [
            {"email": "ada@lender.example", "userName": "ada"},
            {"email": "cleo@lender.example", "userName": "cleo"},
        ],
    }
    _templates(made)
    made.connect["51"] = {
        "connectId": "51",
        "name": "Loan service",
        "configurationType": "custom",
        "urlToPublishTo": "https://loans.lender.example/docusign",
        "allowEnvelopePublish": "true",
        "includeHMAC": "true",
        "envelopeEvents": ["Completed", "Declined", "Voided"],
        "allUsers": "true",
    }
    return made


def _templates(made: Account) -> None:
    contract: dict[str, Any] = {
        "name": "Loan contract",
        "description": "Signed by the borrower, then by one approver",
        "emailSubject": "Your loan contract",
        "brandId": "b-1",
        "notification": {"reminders": {"reminderEnabled": "true", "reminderDelay": "2"}},
        "customFields": {
            "textCustomFields": [{"fieldId": "f", "name": "Loan number", "required": "true"}]
        },
        "recipients": {
            "signers": [
                {
                    "recipientId": "1",
                    "roleName": "Borrower",
                    "routingOrder": "1",
                    "accessCode": "birth-year",
                    "tabs": {
                        "signHereTabs": [
                            {
                                "documentId": "1",
                                "pageNumber": "1",
                                "xPosition": "120",
                                "yPosition": "640",
                                "recipientId": "1",
                            }
                        ]
                    },
                },
                {
                    "recipientId": "2",
                    "roleName": "Approver",
                    "routingOrder": "2",
                    "signingGroupId": "41",
                    "signingGroupName": "Approvers",
                },
            ]
        },
    }
    documents = {"1": b"%PDF-1.7 contract " * 500, "2": b"%PDF-1.7 terms " * 900}
    add_template(made, contract, documents)
    add_template(made, {"name": "Disclosure", "emailSubject": "Read this"}, {"1": b"%PDF-1.7 d"})
