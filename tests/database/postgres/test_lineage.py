"""Whether a server continues what is stored, decided from positions and histories.

What needs real copies of a cluster is shown in test_ship_wal_lineage.
"""

import pytest

from ledgerkeep.database.postgres.description import ServerDescription
from ledgerkeep.database.postgres.lineage import StoredPosition, judge
from ledgerkeep.database.postgres.timeline_history import TimelineHistory
from ledgerkeep.errors import ForeignCluster, TimelineDiverged

PROMOTED = TimelineHistory(2, ((1, 0x5000060),))


def _server(timeline: int, lsn: int) -> ServerDescription:
    return ServerDescription(
        system_identifier="77",
        timeline=timeline,
        server_version=180006,
        in_recovery=False,
        lsn=lsn,
        wal_level="replica",
        segment_size=1 << 24,
        data_checksums=True,
        clock="2026-01-01T00:00:00Z",
        next_xid=9,
        standby_settings={},
    )


def test_the_same_timeline_further_on_is_the_continuation() -> None:
    """Also when nothing was written since."""
    stored = StoredPosition(1, 0x5000000, "WAL is stored up to")
    judge(_server(1, 0x5000000), TimelineHistory(1), stored)
    judge(_server(1, 0x6000000), TimelineHistory(1), stored)


def test_a_server_behind_a_base_backup_is_foreign() -> None:
    """Without any WAL in the catalog the newest base backup decides."""
    stored = StoredPosition(1, 0x5000120, "base backup b1 ends at")
    with pytest.raises(ForeignCluster) as refused:
        judge(_server(1, 0x4000000), TimelineHistory(1), stored)
    assert refused.value.message == (
        "the server (cluster 77, timeline 1) stands at 0/4000000, "
        "but base backup b1 ends at 0/5000120 of timeline 1"
    )
    assert refused.value.hint == (
        "is this a clone or a restored copy? point the connection at the original, "
        "or protect this server under an environment of its own"
    )


def test_a_promotion_after_the_stored_end_is_the_continuation() -> None:
    """The switch may be exactly at the end."""
    judge(_server(2, 0x6000000), PROMOTED, StoredPosition(1, 0x5000000, "WAL is stored up to"))
    judge(_server(2, 0x6000000), PROMOTED, StoredPosition(1, 0x5000060, "WAL is stored up to"))


def test_a_promotion_before_the_stored_end_has_diverged_unless_adopted() -> None:
    """A person's word decides."""
    stored = StoredPosition(1, 0x6000000, "WAL is stored up to")
    with pytest.raises(TimelineDiverged) as refused:
        judge(_server(2, 0x7000000), PROMOTED, stored)
    assert refused.value.message == (
        "the server (cluster 77, timeline 2) left timeline 1 at 0/5000060, "
        "but WAL is stored up to 0/6000000 of timeline 1"
    )
    assert refused.value.hint == (
        "if it became the primary in a failover that lost the WAL in between, say so with a full "
        "backup that has adopt_timeline=2; if it is a clone or a restored copy, point the "
        "connection at the original"
    )
    judge(_server(2, 0x7000000), PROMOTED, stored, adopted=True)


def test_an_older_timeline_does_not_descend_from_the_stored_one() -> None:
    """The former primary came back; nobody's word makes it the continuation."""
    stored = StoredPosition(2, 0x6000000, "WAL is stored up to")
    with pytest.raises(TimelineDiverged) as refused:
        judge(_server(1, 0x9000000), TimelineHistory(1), stored, adopted=True)
    assert refused.value.message == (
        "the server (cluster 77, timeline 1) does not descend from timeline 2, "
        "but WAL is stored up to 0/6000000 of timeline 2"
    )
    assert refused.value.hint == (
        "is this a former primary that came back after a failover, or a clone? "
        "point the connection at the present primary"
    )
