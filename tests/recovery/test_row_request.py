"""The form of a recovery of document rows: nothing is guessed."""

import pytest

from ledgerkeep.documents.metadata.staging import Selection
from ledgerkeep.errors import RecoveryError
from ledgerkeep.recovery.row_request import RowRequest, read_row_recovery
from ledgerkeep.recovery.target import RecoveryTarget

FORM = {
    "target_kind": "time",
    "target_value": "2026-03-01T12:00:00+00:00",
    "stop_at": "before",
    "copy": None,
    "keys": ["b", "a", "a", ""],
    "prefix": None,
    "apply": "changed",
    "scenario": "accidental_deletion",
    "reason": "rows were deleted, INC-2",
}


def test_form_is_read_as_it_is_meant() -> None:
    assert read_row_recovery(FORM) == RowRequest(
        copy_directory="",
        target=RecoveryTarget(time="2026-03-01T12:00:00+00:00", inclusive=False),
        selection=Selection(keys=("a", "b")),
        apply="changed",
        scenario="accidental_deletion",
        reason="rows were deleted, INC-2",
    )


def test_star_means_all_documents_and_nothing_does_not() -> None:
    everything = read_row_recovery({**FORM, "keys": None, "prefix": "*"})
    assert everything.selection.all
    below = read_row_recovery({**FORM, "keys": None, "prefix": "agreements/"})
    assert below.selection == Selection(prefix="agreements/")


def test_copy_that_was_handed_over_takes_the_place_of_a_target() -> None:
    given = read_row_recovery({**FORM, "copy": "/srv/recovery/loans-1", "target_value": ""})
    assert (given.copy_directory, given.target) == ("/srv/recovery/loans-1", None)


@pytest.mark.parametrize(
    ("changes", "message", "hint"),
    [
        (
            {"keys": None},
            "neither keys nor a prefix are given",
            "write the keys, one to a line, or the prefix; a prefix of * means all documents",
        ),
        (
            {"prefix": "*"},
            "both keys and a prefix are given",
            "write the keys, one to a line, or the prefix; a prefix of * means all documents",
        ),
        ({"keys": [1]}, "the keys are no list of texts", "write one key to a line"),
        (
            {"copy": "/srv/a"},
            "the copy is in /srv/a, and yet a target is given: '2026-03-01T12:00:00+00:00'",
            "leave the target empty to use that copy, or the copy empty to restore one",
        ),
        (
            {"copy": "a b", "target_value": ""},
            "the copy 'a b' is not a directory's full path",
            "write it from the root, in plain letters, such as /srv/recovery/loans-1, or leave it "
            "empty",
        ),
        ({"apply": "all"}, "apply is 'all'", "it can be missing or changed or removed"),
        (
            {"tables": "x"},
            "the form has no field tables",
            "its fields are apply, copy, keys, prefix, reason, scenario, stop_at, target_kind, "
            "target_value",
        ),
    ],
)
def test_what_does_not_go_together_is_refused(
    changes: dict[str, object], message: str, hint: str
) -> None:
    with pytest.raises(RecoveryError) as caught:
        read_row_recovery({**FORM, **changes})
    assert (caught.value.message, caught.value.hint) == (message, hint)
