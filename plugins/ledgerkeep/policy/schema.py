"""The policy model as a JSON schema, so that an editor helps to write a policy.

`python -m ledgerkeep.policy.schema` writes `include/policies/policy.schema.json` again; a test
keeps the file in step with the model.
"""

import json
from pathlib import Path
from typing import Any

from ledgerkeep.policy.model import Policy
from ledgerkeep.worker import worker_settings

SCHEMA_FILE = "policy.schema.json"


def policy_schema() -> str:
    """The text of the schema file."""
    schema: dict[str, Any] = Policy.model_json_schema(mode="validation")
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def write_schema(directory: Path | None = None) -> Path:
    """Write the schema beside the policies and return its path."""
    path = (directory or worker_settings().policies) / SCHEMA_FILE
    path.write_text(policy_schema(), encoding="utf-8")
    return path


if __name__ == "__main__":
    write_schema()
