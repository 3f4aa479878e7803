"""Part sizes of a streaming upload, and the memory it takes."""

import tracemalloc

import pytest

from ledgerkeep.storage.upload import part_size

MIB = 1024 * 1024


@pytest.mark.parametrize("base", [5 * MIB, 16 * MIB, 512 * MIB])
def test_ten_thousand_parts_hold_five_tebibytes(base):
    sizes = [part_size(number, base) for number in range(1, 10_001)]
    assert sizes[:1000] == [base] * 1000
    assert sizes == sorted(sizes)
    assert sum(sizes) >= 5 * 1024 * 1024 * MIB
    assert sizes[-1] < 5 * 1024 * MIB


@pytest.mark.integration
def test_a_writer_and_a_reader_hold_a_few_parts(open_bucket):
    store = open_bucket(concurrency=2)
    block = bytes(MIB)
    tracemalloc.start()
    with store.writer("volume") as writer:
        for _ in range(60):
            writer.write(block)
        stored = writer.commit()
    _, written = tracemalloc.get_traced_memory()
    tracemalloc.reset_peak()
    assert sum(len(chunk) for chunk in store.read(stored)) == 60 * MIB
    _, read = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert written < 25 * MIB
    assert read < 25 * MIB
