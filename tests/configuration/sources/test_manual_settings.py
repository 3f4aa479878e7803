"""The register of manual settings: read strictly, put back by hand, and never left unverified."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from ledgerkeep.configuration.compare import compare
from ledgerkeep.configuration.registry import open_source
from ledgerkeep.configuration.source import Change, Found, Source
from ledgerkeep.errors import ConfigurationError
from ledgerkeep.model import utc_now
from ledgerkeep.policy.load import load_policies
from tests.support.configuration import Account, aws, open_account, policy_with

__all__ = ["aws"]

TODAY = utc_now().date()
LOCK = {
    "name": "dns/registrar-lock",
    "system": "the domain registrar",
    "where": "Domains > loans.example > Transfer lock",
    "value": "on",
    "owner": "platform",
    "verified_on": TODAY,
    "verify_every": "90d",
}
TOKEN = {
    "name": "aws/root-mfa",
    "system": "the AWS console",
    "where": "Security credentials",
    "secret": True,
    "kept_in": "the safe, envelope 3",
    "owner": "security",
    "verified_on": TODAY,
    "verify_every": "180d",
}


@pytest.fixture
def register(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LEDGERKEEP_REGISTERS", str(tmp_path))
    return tmp_path / "manual.yaml"


@pytest.fixture
def account(aws: None, register: Path) -> Account:
    return open_account(policy_with(manual_settings={"file": "manual"}))


@pytest.fixture
def source(account: Account) -> Source:
    return open_source("manual_settings", account.access, account.policy)


def write(register: Path, *entries: dict[str, Any]) -> None:
    register.write_text(yaml.safe_dump({"settings": list(entries)}))


def refusal(source: Source) -> str:
    with pytest.raises(ConfigurationError) as refused:
        list(source.export({}))
    return refused.value.message


def test_entries_are_exported_by_name(source: Source, register: Path) -> None:
    write(register, LOCK, TOKEN)
    found = {one.key: one.content for one in source.export({}) if isinstance(one, Found)}
    assert found == {
        "aws/root-mfa": {
            "system": "the AWS console",
            "where": "Security credentials",
            "value": "",
            "secret": True,
            "kept_in": "the safe, envelope 3",
            "owner": "security",
            "verify_every": "180d",
        },
        "dns/registrar-lock": {
            "system": "the domain registrar",
            "where": "Domains > loans.example > Transfer lock",
            "value": "on",
            "secret": False,
            "kept_in": "",
            "owner": "platform",
            "verify_every": "90d",
        },
    }


def test_every_change_is_told_as_something_to_do(
    account: Account, source: Source, register: Path
) -> None:
    write(register, LOCK, TOKEN)
    stored = account.versions.items(account.back_up(source).version)
    new = {**LOCK, "name": "dns/new", "where": "Domains > new"}
    write(register, {**LOCK, "value": "off"}, new)
    live = account.versions.items(account.back_up(source).version)
    told = {one.key: source.by_hand(one) for one in compare(live, stored)}
    assert told == {
        "aws/root-mfa": "open the AWS console, Security credentials: set it to what is kept in "
        "the safe, envelope 3; then put aws/root-mfa into the register as it was, with the day on "
        "which you did it (security answers for it)",
        "dns/new": "open the domain registrar, Domains > new: undo it, then take dns/new out of "
        "the register",
        "dns/registrar-lock": "open the domain registrar, Domains > loans.example > Transfer lock: "
        "set it to on; then put dns/registrar-lock into the register as it was, with the day on "
        "which you did it (platform answers for it)",
    }


def test_no_program_changes_anything(source: Source) -> None:
    with pytest.raises(ConfigurationError) as refused:
        source.apply(Change("update", "dns/new", None, {}))
    assert refused.value.message == "dns/new is set by hand"
    assert refused.value.hint == "do what the plan says, then correct the register"
    assert source.beside("run-1") is None
    assert source.why_no_place == "what people set by hand, a program cannot set elsewhere"


def test_setting_that_nobody_looked_at_in_time_is_a_finding(
    account: Account, source: Source, register: Path
) -> None:
    late, just = TODAY - timedelta(days=91), TODAY - timedelta(days=90)
    write(register, {**LOCK, "verified_on": late}, {**LOCK, "name": "b", "verified_on": just})
    assert account.back_up(source).findings == [
        f"dns/registrar-lock was last verified on {late}, and every 90d is wanted; platform "
        "answers for it"
    ]


def test_looking_again_is_no_new_version_and_no_finding_any_more(
    account: Account, source: Source, register: Path
) -> None:
    write(register, {**LOCK, "verified_on": TODAY - timedelta(days=91)})
    assert account.back_up(source).findings
    write(register, LOCK)
    again = account.back_up(source)
    assert (again.is_new, again.findings) == (False, [])


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"owner": None}, "settings.0.owner: Input should be a valid string"),
        ({"colour": "red"}, "settings.0.colour: Extra inputs are not permitted"),
        ({"value": None}, "settings.0: what is no secret has a value and no kept_in"),
        ({"secret": True}, "settings.0: a secret has kept_in and no value"),
        ({"verified_on": "soon"}, "settings.0.verified_on: Input should be a valid date"),
    ],
)
def test_entry_that_is_not_right_is_refused_by_its_field(
    source: Source, register: Path, change: dict[str, Any], fault: str
) -> None:
    write(register, {**LOCK, **change})
    assert refusal(source).startswith(f"the register {register} is refused: {fault}")


def test_value_that_is_refused_is_not_shown(source: Source, register: Path) -> None:
    """It may be a secret that somebody wrote there."""
    write(register, {**TOKEN, "value": "s3cret-value"}, {**LOCK, "password": "s3cret-value"})
    assert "s3cret-value" not in refusal(source)


def test_name_may_not_be_there_twice(source: Source, register: Path) -> None:
    write(register, LOCK, LOCK)
    assert refusal(source) == (
        f"the register {register} is refused: the file: named twice: dns/registrar-lock"
    )


def test_register_that_is_not_there_is_named(source: Source, register: Path) -> None:
    assert refusal(source) == f"there is no register {register}"


def test_register_that_is_no_yaml_is_refused(source: Source, register: Path) -> None:
    register.write_text("settings: [")
    assert refusal(source).startswith(f"the register {register} is no YAML: while parsing")


def test_registers_that_are_shipped_are_sound(account: Account, monkeypatch: Any) -> None:
    monkeypatch.delenv("LEDGERKEEP_REGISTERS")
    for policy in load_policies():
        source = open_source("manual_settings", account.access, policy)
        assert list(source.export({}))
