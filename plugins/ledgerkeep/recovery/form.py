"""The fields of the recovery forms and what may be in them, for those who show and who read them.

Imports nothing: Airflow reads the files that show the forms every minute.
"""

from typing import Literal

Afterwards = Literal["stopped", "running"]
Scenario = Literal["database_failure", "accidental_deletion", "security_incident"]
Through = Literal["latest", "backup"]
DocumentsThen = Literal["none", "check", "plan"]
"""What happens about the documents of the moment: nothing, a check, or a plan to recover them."""
LATEST_PROVEN = "latest proven"
SHORTEST_REASON = 10
"""Characters."""
DESTINATION = r"^((/[A-Za-z0-9_+@][A-Za-z0-9._+@-]*)+)?$"
"""An absolute path of plain names: it is typed again from a runbook, by people, into shells."""

_COMMON = {"destination", "afterwards", "scenario", "reason"}
POINT_IN_TIME_FIELDS = _COMMON | {
    *("target_kind", "target_value", "stop_at", "backup", "timeline", "documents"),
}
FULL_RESTORE_FIELDS = _COMMON | {"recovery_point", "through"}
ROW_RECOVERY_FIELDS = {
    *("copy", "target_kind", "target_value", "stop_at", "keys", "prefix", "apply"),
    *("scenario", "reason"),
}
APPLY = ("missing", "changed", "removed")
"""What of the difference is applied; each includes those before it."""
