"""Reading many records at once: what is listed, from copies where they are good, else one by one.

The listing is the truth. It is made in several parts side by side where the index tells how the
keys are spread (anything may be there besides), since a store gives a thousand keys at a time. A
record that is removed between its listing and its reading is gone, not an error: retention may be
at work.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from ledgerkeep.catalog.index import WORTH_IT, Copy, Index, load_index
from ledgerkeep.errors import ObjectMissing
from ledgerkeep.storage.port import ListedObject, ObjectStore

_READERS = 8
"""Records that are read, and parts that are listed, at the same time."""


def read_copies(
    store: ObjectStore, prefix: str, name: str = ".json", *, index_prefix: str | None = None
) -> dict[str, Copy]:
    """Key → copy of every record below a prefix, in the order of the keys.

    :param name: how the keys of records end.
    :param index_prefix: where indexes of these records lie; None: there are none.
    """
    index = load_index(store, index_prefix) if index_prefix is not None else {}
    listed = list(_list_in_parts(store, prefix, name, index))
    known = {one.key: index.get(one.key) for one in listed}
    missing = [one for one in listed if not _is_good(known[one.key], one)]
    with ThreadPoolExecutor(_READERS, thread_name_prefix="catalog") as readers:
        known.update(readers.map(lambda one: (one.key, _read(store, one)), missing))
    return {key: copy for key, copy in known.items() if copy is not None}


def _list_in_parts(
    store: ObjectStore, prefix: str, name: str, index: Index
) -> Iterator[ListedObject]:
    known = sorted(key for key in index if key.startswith(prefix))
    if len(known) < WORTH_IT:
        yield from _part(store, prefix, name, "", "")
        return
    step = -(-len(known) // _READERS)
    cuts = ["", *known[step::step], ""]
    with ThreadPoolExecutor(_READERS, thread_name_prefix="catalog") as readers:
        parts = readers.map(partial(_part, store, prefix, name), cuts[:-1], cuts[1:])
        for part in parts:
            yield from part


def _part(store: ObjectStore, prefix: str, name: str, after: str, last: str) -> list[ListedObject]:
    """The records after one key, up to and including another; empty: to the end."""
    found = []
    for one in store.list(prefix, start_after=after):
        if last and one.key > last:
            break
        if one.key.endswith(name):
            found.append(one)
    return found


def _is_good(copy: Copy | None, listed: ListedObject) -> bool:
    return copy is not None and copy.is_of(listed)


def _read(store: ObjectStore, listed: ListedObject) -> Copy | None:
    try:
        return Copy.of(listed, store.get(listed.key))
    except ObjectMissing:
        return None
