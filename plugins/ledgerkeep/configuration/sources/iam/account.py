"""What an account has once: identity providers, the rules for passwords, its alias.

Of a SAML provider the metadata is exported, which is public; the private keys that decrypt its
assertions never leave IAM, and a person uploads them anew.
"""

from collections.abc import Iterator
from typing import Any, ClassVar

from ledgerkeep.configuration.sources.iam.api import Api, given, sent_tags, tags_of
from ledgerkeep.configuration.sources.iam.kind import Kind, State


class OidcProviders(Kind):
    """OpenID Connect providers, by their URL without the scheme."""

    prefix = "oidc-provider"

    def names(self) -> Iterator[str]:
        """All of them."""
        answer = self.api.send("list_open_id_connect_providers", "list the OIDC providers")
        for one in answer["OpenIDConnectProviderList"]:
            yield one["Arn"].split(":oidc-provider/", 1)[1]

    def read(self, name: str, path: str = "") -> State | None:
        """As it is now."""
        what = f"read oidc-provider/{name}"
        answer = self.api.find("get_open_id_connect_provider", what, **self._of(name))
        if answer is None:
            return None
        return {
            "clients": sorted(answer.get("ClientIDList", [])),
            "thumbprints": sorted(answer.get("ThumbprintList", [])),
            "tags": tags_of(answer),
        }

    def create(self, name: str, wanted: State) -> State:
        """Make it whole."""
        self.api.send(
            "create_open_id_connect_provider",
            f"make oidc-provider/{name}",
            Url=f"https://{name}",
            **given(
                ClientIDList=wanted["clients"],
                ThumbprintList=wanted["thumbprints"],
                Tags=sent_tags(wanted["tags"]),
            ),
        )
        return wanted

    def alter(self, name: str, live: State, wanted: State) -> None:
        """Who it gives tokens to, which certificates it may have, and its tags."""
        self._set_clients(name, set(live["clients"]), set(wanted["clients"]))
        if live["thumbprints"] != wanted["thumbprints"]:
            self.api.send(
                "update_open_id_connect_provider_thumbprint",
                f"set the thumbprints of oidc-provider/{name}",
                ThumbprintList=wanted["thumbprints"],
                **self._of(name),
            )
        operations = ("tag_open_id_connect_provider", "untag_open_id_connect_provider")
        self.set_tags(operations, f"oidc-provider/{name}", live, wanted, **self._of(name))

    def remove(self, name: str, live: State) -> None:
        """Take it away."""
        what = f"delete oidc-provider/{name}"
        self.api.drop("delete_open_id_connect_provider", what, **self._of(name))

    def _set_clients(self, name: str, live: set[str], wanted: set[str]) -> None:
        for client in sorted(wanted - live):
            self.api.send(
                "add_client_id_to_open_id_connect_provider",
                f"add a client to oidc-provider/{name}",
                ClientID=client,
                **self._of(name),
            )
        for client in sorted(live - wanted):
            self.api.drop(
                "remove_client_id_from_open_id_connect_provider",
                f"remove a client from oidc-provider/{name}",
                ClientID=client,
                **self._of(name),
            )

    def _of(self, name: str) -> dict[str, Any]:
        return {"OpenIDConnectProviderArn": self.api.arn(f"oidc-provider/{name}")}


class SamlProviders(Kind):
    """SAML providers."""

    prefix = "saml-provider"

    def names(self) -> Iterator[str]:
        """All of them."""
        answer = self.api.send("list_saml_providers", "list the SAML providers")
        for one in answer["SAMLProviderList"]:
            yield one["Arn"].split(":saml-provider/", 1)[1]

    def read(self, name: str, path: str = "") -> State | None:
        """As it is now."""
        what = f"read saml-provider/{name}"
        answer = self.api.find("get_saml_provider", what, **self._of(name))
        if answer is None:
            return None
        return {
            "metadata": answer["SAMLMetadataDocument"],
            "encryption": answer.get("AssertionEncryptionMode", ""),
            "tags": tags_of(answer),
        }

    def create(self, name: str, wanted: State) -> State:
        """Make it; that its assertions must be encrypted is said by `alter`."""
        self.api.send(
            "create_saml_provider",
            f"make saml-provider/{name}",
            Name=name,
            SAMLMetadataDocument=wanted["metadata"],
            **given(Tags=sent_tags(wanted["tags"])),
        )
        return {**wanted, "encryption": self._encryption(name)}

    def alter(self, name: str, live: State, wanted: State) -> None:
        """Its metadata, whether assertions must be encrypted, and its tags."""
        changed: dict[str, Any] = {}
        if live["metadata"] != wanted["metadata"]:
            changed["SAMLMetadataDocument"] = wanted["metadata"]
        if live["encryption"] != wanted["encryption"]:
            changed["AssertionEncryptionMode"] = wanted["encryption"]
        if changed:
            what = f"write saml-provider/{name}"
            self.api.send("update_saml_provider", what, **changed, **self._of(name))
        operations = ("tag_saml_provider", "untag_saml_provider")
        self.set_tags(operations, f"saml-provider/{name}", live, wanted, **self._of(name))

    def remove(self, name: str, live: State) -> None:
        """Take it away."""
        self.api.drop("delete_saml_provider", f"delete saml-provider/{name}", **self._of(name))

    def _encryption(self, name: str) -> str:
        answer = self.api.send("get_saml_provider", f"read saml-provider/{name}", **self._of(name))
        found: str = answer.get("AssertionEncryptionMode", "")
        return found

    def _of(self, name: str) -> dict[str, Any]:
        return {"SAMLProviderArn": self.api.arn(f"saml-provider/{name}")}


class Settings(Kind):
    """The rules for passwords, and the alias: each is there once, or not at all."""

    prefix = "account"
    passwords: ClassVar[str] = "password-policy"
    alias: ClassVar[str] = "alias"

    def __init__(self, api: Api) -> None:
        super().__init__(api)
        self._what = {self.passwords: "the password policy", self.alias: "the account's alias"}

    def names(self) -> Iterator[str]:
        """Both, whether or not they are there."""
        yield from self._what

    def read(self, name: str, path: str = "") -> State | None:
        """As it is now."""
        if name == self.alias:
            aliases = self.api.send("list_account_aliases", "read the account's alias")
            return next(({"alias": one} for one in aliases["AccountAliases"]), None)
        answer = self.api.find("get_account_password_policy", "read the password policy")
        if answer is None:
            return None
        # Whether passwords expire follows from their age, and cannot be set.
        rules = {key: one for key, one in answer["PasswordPolicy"].items() if one is not None}
        return {key: rules[key] for key in sorted(rules.keys() - {"ExpirePasswords"})}

    def create(self, name: str, wanted: State) -> State:
        """Set it."""
        if name == self.alias:
            what = "set the account's alias"
            self.api.send("create_account_alias", what, AccountAlias=wanted["alias"])
        else:
            # What is not named gets its default, so all of it is (UpdateAccountPasswordPolicy).
            rules = {key: one for key, one in wanted.items() if one != 0 or isinstance(one, bool)}
            self.api.send("update_account_password_policy", "set the password policy", **rules)
        return wanted

    def alter(self, name: str, live: State, wanted: State) -> None:
        """Set it: an alias takes the place of the one before."""
        if live != wanted:
            self.create(name, wanted)

    def remove(self, name: str, live: State) -> None:
        """Take it away."""
        what = f"delete {self._what[name]}"
        if name == self.alias:
            self.api.drop("delete_account_alias", what, AccountAlias=live["alias"])
        else:
            self.api.drop("delete_account_password_policy", what)
