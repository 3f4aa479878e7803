import pytest

pytestmark = pytest.mark.integration


def test_shared_servers_answer(cluster, bucket, database):
    assert cluster.execute("SELECT current_setting('wal_level')") == [("logical",)]
    assert cluster.execute("SELECT count(*) FROM pg_class", database)[0][0] > 100
    assert bucket
