"""The schema for editors says what the model says."""

import json

import jsonschema
import pytest
import yaml

from ledgerkeep.policy.schema import SCHEMA_FILE, policy_schema
from tests.policy.support import POLICIES

FILES = sorted(POLICIES.glob("*.yaml"))


def test_schema_file_is_in_step_with_the_model() -> None:
    """`python -m ledgerkeep.policy.schema` writes it again."""
    assert (POLICIES / SCHEMA_FILE).read_text() == policy_schema()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_policy_files_name_the_schema_and_follow_it(path) -> None:
    text = path.read_text()
    assert text.startswith(f"# yaml-language-server: $schema={SCHEMA_FILE}\n")
    jsonschema.validate(yaml.safe_load(text), json.loads(policy_schema()))


def test_editor_sees_a_misspelt_field() -> None:
    policy = yaml.safe_load((POLICIES / "staging.yaml").read_text())
    policy["database"]["wal_shiping"] = policy["database"].pop("wal_shipping")
    with pytest.raises(jsonschema.ValidationError, match="wal_shiping"):
        jsonschema.validate(policy, json.loads(policy_schema()))
