"""What a recovery goes back to stays, also when its own changes make new versions."""

from datetime import timedelta

import pytest

from ledgerkeep.catalog import keys
from ledgerkeep.configuration.recovery.carry_out import carry_out
from ledgerkeep.configuration.recovery.held import held_versions
from ledgerkeep.configuration.recovery.plan import make_plan
from ledgerkeep.configuration.recovery.request import ConfigurationRequest
from ledgerkeep.configuration.recovery.verify import refuse_unverified, verify
from ledgerkeep.configuration.registry import open_source
from ledgerkeep.configuration.removal import plan_source, remove_versions
from ledgerkeep.model import utc_now
from ledgerkeep.policy.configuration import ConfigurationRetention
from ledgerkeep.policy.model import Policy
from tests.support.configuration import Account, aws, open_account, policy_with

__all__ = ["aws"]


def keeping_one() -> Policy:
    policy = policy_with(parameters={"paths": ["/loan/"]})
    assert policy.configuration is not None
    section = policy.configuration.model_copy(
        update={"retention": ConfigurationRetention(versions=1)}
    )
    return policy.model_copy(update={"configuration": section})


@pytest.fixture
def account(aws: None) -> Account:
    return open_account(keeping_one())


def test_version_stays_from_the_plan_on_so_that_the_recovery_can_be_finished(
    account: Account,
) -> None:
    ssm = account.client("ssm")
    source = open_source("parameters", account.access, account.policy)
    ssm.put_parameter(Name="/loan/url", Value="https://loans", Type="String")
    good = account.back_up(source).version
    ssm.put_parameter(Name="/loan/url", Value="https://evil", Type="String", Overwrite=True)
    account.back_up(source)
    request = ConfigurationRequest(source="parameters", version_id=good.id)
    made = make_plan(source, account.versions, account.marker, request)
    carry_out(source, account.versions, account.marker, made.plan, run="dag/run")
    account.back_up(source)  # an event told of what was applied

    now = utc_now()
    decisions = plan_source(account.versions, "parameters", now=now)
    assert [(one.stays, one.because) for one in decisions if one.version == good] == [
        (True, f"the recovery {made.plan.id} goes back to it")
    ]
    remove_versions(account.versions, "parameters", decisions, now=now)
    refuse_unverified(verify(source, account.versions, account.marker, made.plan))

    later = now + timedelta(days=3)
    assert good.id in {
        one.version.id
        for one in plan_source(account.versions, "parameters", now=later)
        if not one.stays
    }


def test_only_the_source_of_the_recovery_is_held_and_only_if_the_plan_is_whole(
    account: Account,
) -> None:
    ssm = account.client("ssm")
    source = open_source("parameters", account.access, account.policy)
    ssm.put_parameter(Name="/loan/url", Value="https://loans", Type="String")
    version = account.back_up(source).version
    request = ConfigurationRequest(source="parameters")
    made = make_plan(source, account.versions, account.marker, request)

    def held(name: str) -> dict[str, str]:
        return held_versions(account.versions, name, hold=timedelta(days=1), now=utc_now())

    assert held("parameters") == {version.id: made.plan.id}
    assert held("iam") == {}
    prefix = keys.configuration_recovery("production", made.plan.id)
    del account.store.objects[f"{prefix}recovery.json"]
    assert held("parameters") == {}
