"""A bad policy is refused in words that correct it, and hides no other environment."""

import time
from datetime import timedelta
from pathlib import Path

import pytest

from ledgerkeep.errors import PolicyError
from ledgerkeep.policy import load
from ledgerkeep.policy.load import (
    load_policies,
    load_policy,
    read_policies,
    refuse_broken_policies,
)
from tests.policy.support import POLICIES, broken, line_of


def refusal(path: Path) -> str:
    with pytest.raises(PolicyError) as caught:
        load_policy(path)
    hint = f"correct the file, then check it: ledgerkeep policy check {path}"
    assert caught.value.hint == hint
    return caught.value.message


def one_fault(path: Path, at: str, field: str, found: str, allowed: str) -> None:
    assert refusal(path) == (
        f"policy {path} is refused for 1 fault:\n"
        f"  line {line_of(path, at)}: {field}: found {found}; allowed: {allowed}"
    )


def test_shipped_policies_are_sound_and_complete() -> None:
    refuse_broken_policies(POLICIES)
    names = [policy.environment for policy in load_policies(POLICIES)]
    assert names == ["development", "production", "staging"]


def test_production_holds_the_figures_of_the_procedures() -> None:
    """Appendix: backup schedule, recovery time and recovery point tables."""
    policy = load_policy(POLICIES / "production.yaml")
    database, objectives = policy.database, policy.objectives
    assert database.full_backup is not None
    assert database.full_backup.schedule == "0 1 * * *"
    assert database.wal_shipping is not None
    assert database.wal_shipping.schedule == "*/15 * * * *"
    assert database.retention.daily == timedelta(days=30)
    assert database.retention.yearly == timedelta(days=7 * 365)
    assert database.retention.wal == timedelta(days=7)
    assert objectives.database_failure.rto == timedelta(hours=1)
    assert objectives.database_failure.rpo == timedelta(minutes=15)
    assert objectives.availability_zone_failure.rpo == timedelta(0)
    assert objectives.accidental_deletion.rpo is None
    assert policy.alerts.size_deviation_percent == 20


def test_development_ships_no_wal() -> None:
    policy = load_policy(POLICIES / "development.yaml")
    assert policy.database.wal_shipping is None
    assert policy.restore_tests.point_in_time_recovery is None


def test_value_outside_the_allowed_ones_is_named_with_line(tmp_path: Path) -> None:
    path = broken(tmp_path, "production", ("criticality: critical", "criticality: huge"))
    one_fault(path, "huge", "criticality", "'huge'", "'low', 'medium', 'high' or 'critical'")


def test_duration_of_the_wrong_form_is_explained(tmp_path: Path) -> None:
    path = broken(tmp_path, "production", ("daily: 30d", "daily: 30 days"))
    one_fault(
        path,
        "30 days",
        "database.retention.daily",
        "'30 days'",
        "a duration is a whole number and a unit: 90s, 15m, 6h, 30d, 12w or 7y",
    )


def test_unknown_field_suggests_the_nearest(tmp_path: Path) -> None:
    path = broken(tmp_path, "production", ("rpo: 15m}\n  region", "rpoo: 15m}\n  region"))
    where = line_of(path, "rpoo")
    assert refusal(path) == (
        f"policy {path} is refused for 2 faults:\n"
        f"  line {where}: objectives.database_failure.rpo: found nothing; "
        f"allowed: this field is required\n"
        f"  line {where}: objectives.database_failure.rpoo: found an unknown field; "
        f"allowed: did you mean rpo? known fields: rto, rpo"
    )


def test_cron_of_five_fields_is_asked_for(tmp_path: Path) -> None:
    path = broken(tmp_path, "production", ('"0 4 * * *"', '"0 4 * *"'))
    one_fault(
        path,
        '"0 4 * *"',
        "database.fingerprint.schedule",
        "'0 4 * *'",
        "text of the form minute hour day-of-month month day-of-week, such as 0 1 * * *",
    )


@pytest.mark.parametrize(
    ("cron", "found"),
    [
        ("0 25 * * *", "'0 25 * * *', which is no cron expression"),
        ("0 0 31 2 *", "'0 0 31 2 *', which never comes true"),
    ],
)
def test_cron_that_airflow_would_refuse_is_refused_here(
    tmp_path: Path, cron: str, found: str
) -> None:
    path = broken(tmp_path, "production", ('"0 4 * * *"', f'"{cron}"'))
    one_fault(
        path,
        cron,
        "database.fingerprint.schedule",
        found,
        "minute hour day-of-month month day-of-week, in UTC, such as 0 1 * * *",
    )


def test_all_faults_of_a_file_come_at_once_in_order_of_lines(tmp_path: Path) -> None:
    path = broken(
        tmp_path,
        "production",
        ("size_deviation_percent: 20", "size_deviation_percent: 200"),
        ("databases: [loan_management]", "databases: []"),
        ("owner: backup-operations ", "owner: 7 "),
    )
    assert refusal(path) == (
        f"policy {path} is refused for 3 faults:\n"
        f"  line {line_of(path, 'owner: 7')}: owner: found 7; allowed: text\n"
        f"  line {line_of(path, 'databases: []')}: database.databases: "
        f"found a list of 0; allowed: a list of at least 1\n"
        f"  line {line_of(path, '200')}: alerts.size_deviation_percent: "
        f"found 200; allowed: 100.0 or less"
    )


def test_key_given_twice_is_a_fault(tmp_path: Path) -> None:
    path = broken(tmp_path, "production", ("alerts:  ", "owner: someone\nalerts:  "))
    first = line_of(path, "owner: backup-operations")
    one_fault(
        path,
        "owner: someone",
        "owner",
        f"a field that line {first} gives already",
        "each field once",
    )


def test_anchor_inside_itself_is_a_fault(tmp_path: Path) -> None:
    path = tmp_path / "production.yaml"
    path.write_text("owner: &mine [*mine]\n")
    one_fault(path, "owner", "owner[0]", "an anchor that contains itself", "a value")


def test_broken_yaml_names_the_line(tmp_path: Path) -> None:
    path = tmp_path / "production.yaml"
    path.write_text("environment: [production\nowner: me\n")
    assert refusal(path) == (
        f"policy {path} is refused for 1 fault:\n"
        "  line 2: found text that is not YAML (did not find expected ',' or ']' while parsing "
        "a flow sequence); allowed: YAML"
    )


def test_file_must_carry_the_name_of_its_environment(tmp_path: Path) -> None:
    path = broken(tmp_path, "staging").rename(tmp_path / "development.yaml")
    one_fault(
        path,
        "environment: staging",
        "environment",
        "'staging'",
        "'development', as the file is named, or the file named staging.yaml",
    )


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00"])
def test_empty_or_unreadable_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "production.yaml"
    path.write_bytes(content)
    assert refusal(path).startswith(f"policy {path} is refused for 1 fault:\n  line 1: found ")


def test_broken_policy_hides_no_other_environment(tmp_path: Path) -> None:
    """What the DAG files build on: sound policies without an error, the error apart."""
    broken(tmp_path, "production", ("criticality: critical", "criticality: huge"))
    for sound in ("staging", "development"):
        broken(tmp_path, sound)
    names = [policy.environment for policy in load_policies(tmp_path)]
    assert names == ["development", "staging"]
    with pytest.raises(PolicyError, match=r"production\.yaml is refused for 1 fault"):
        refuse_broken_policies(tmp_path)


def test_import_error_names_every_broken_policy(tmp_path: Path) -> None:
    for environment in ("production", "staging"):
        broken(tmp_path, environment, ("daily: ", "dayly: "))
    with pytest.raises(PolicyError) as caught:
        refuse_broken_policies(tmp_path)
    assert "production.yaml" in caught.value.message
    assert "staging.yaml" in caught.value.message
    assert caught.value.hint == "correct the files, then check them: ledgerkeep policy check"


def test_directory_without_a_policy_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(PolicyError) as caught:
        refuse_broken_policies(tmp_path)
    assert caught.value.message == f"no policy in {tmp_path}"


def test_directory_comes_from_the_worker_setting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken(tmp_path, "staging")
    monkeypatch.setenv("LEDGERKEEP_POLICIES", str(tmp_path))
    assert [loaded.path.name for loaded in read_policies()] == ["staging.yaml"]


def test_what_a_file_says_is_made_out_once(monkeypatch: pytest.MonkeyPatch) -> None:
    first = load_policies(POLICIES)
    monkeypatch.setattr(load, "parse_document", None)
    assert load_policies(POLICIES) == first


def test_file_that_says_something_else_is_read_anew(tmp_path: Path) -> None:
    before = load_policy(broken(tmp_path, "production"))
    assert before.owner == "backup-operations"
    path = broken(tmp_path, "production", ("owner: backup-operations ", "owner: nobody "))
    assert load_policy(path).owner == "nobody"
    path = broken(tmp_path, "production", ("owner: backup-operations ", "owner: 7 "))
    assert "owner: found 7" in refusal(path)


def test_loading_is_quick_enough_for_every_dag_parse() -> None:
    """Three files in under 50 ms of processor time; the best of five, since machines are busy."""
    load_policies(POLICIES)
    spent = []
    for _ in range(5):
        load._understood.cache_clear()
        started = time.process_time()
        load_policies(POLICIES)
        spent.append(time.process_time() - started)
    assert min(spent) < 0.05
