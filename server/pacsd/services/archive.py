"""Whether a store and an index are the same archive's: decided at the start, and changed by explicit command only.

Both carry one identity, made together. The store counts its generations, one for each start of a server; the index
says of which generation its last writer was, and up to which one all files were looked at. So an index that was put
back from a backup, or was never finished, is noticed by what it says itself.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Final

import structlog

from pacsd.errors import ArchiveMismatch
from pacsd.model import ArchiveIdentity, IndexState
from pacsd.services.ports import BlobStore, Catalogue

__all__ = [
    "EVERYTHING",
    "adopt_index",
    "adopt_store",
    "begin_generation",
    "is_whole_as_it_is",
    "require_store",
]

_log = structlog.get_logger()

EVERYTHING: Final = 0
"""As a swept generation: no file was looked at yet."""
_SAMPLE: Final = 100
"""Rows whose files are looked for, where there is no identity yet to go by."""


@dataclass(frozen=True, slots=True)
class _Halves:
    store: ArchiveIdentity | None
    index: IndexState
    has_files: bool

    @property
    def has_nothing(self) -> bool:
        """Whether there is neither a file nor a row."""
        return not (self.has_files or self.index.has_instances)

    @property
    def has_lost_files(self) -> bool:
        """Whether there are rows, and not a single file."""
        return self.index.has_instances and not self.has_files


def begin_generation(store: BlobStore, index: Catalogue) -> ArchiveIdentity:
    """Make sure that store and index belong together, and begin a new generation of them; returns it.

    To be called at the start of a server that holds the archive's lock, before anything is written. Raises
    ArchiveMismatch, saying what to do, for a foreign, empty or missing half.
    """
    halves = _look(store, index)
    _verify(halves, store, index)
    known, index_state = halves.store, halves.index
    identity = known.identity if known else index_state.identity or str(uuid.uuid4())
    earlier = known.generation if known else 0
    swept = index_state.swept_generation if known and index_state.identity else EVERYTHING
    if known and index_state.generation > earlier:
        # What the index knows may be missing here, and what came here meanwhile is counted anew.
        _log.warning(
            "store-older-than-index", remedy="run `pacsd verify`: it names the instances without a file"
        )
        swept = EVERYTHING
    elif known and index_state.identity and index_state.generation < earlier:
        _log.warning("index-older-than-store", consequence="the files that the index lacks are indexed")
    if halves.index.has_instances and not _agree(store, index):
        _log.error("stored-files-missing", remedy="run `pacsd verify`: it names the instances without a file")
    # Before the index knows of it: a generation that no server used costs nothing, one used twice might.
    begun = ArchiveIdentity(identity, max(earlier, halves.index.generation) + 1)
    if halves.has_nothing:
        swept = begun.generation
    if swept == EVERYTHING and index_state.identity and index_state.swept_generation != EVERYTHING:
        # First of all: a start that is killed on its way must not let the next one trust what this one does not.
        index.claim(
            ArchiveIdentity(index_state.identity, index_state.generation), swept_generation=EVERYTHING
        )
    store.identify(begun)
    index.claim(begun, swept_generation=swept)
    return begun


def is_whole_as_it_is(store: BlobStore, index: Catalogue) -> tuple[ArchiveIdentity, bool]:
    """Make sure that store and index belong together; return the generation, and whether all is in the index.

    For a start that cannot write, and so begins no generation: all that was acknowledged. Raises ArchiveMismatch as
    `begin_generation` does, and for an archive that is still to be made.
    """
    halves = _look(store, index)
    _verify(halves, store, index)
    known = halves.store
    if known is None or halves.index.identity is None:
        raise ArchiveMismatch("the archive is still to be made, which takes a disk that can be written to")
    is_whole = (
        halves.index.generation == known.generation and halves.index.swept_generation >= known.generation
    )
    return known, is_whole


def adopt_index(store: BlobStore, index: Catalogue) -> None:
    """Take the index, whatever it was, for the store's: all files are looked at when the server starts.

    Raises ArchiveMismatch where the store is the half that is missing, or has lost its files.
    """
    halves = _look(store, index)
    if halves.has_lost_files:
        _refuse_empty_store()
    require_store(store)
    _unite(halves, store, index, halves.store.identity if halves.store else str(uuid.uuid4()))


def require_store(store: BlobStore) -> None:
    """Return if a store has files or says which archive it is; else raise ArchiveMismatch."""
    if store.identity is None and next(store.published(None), None) is None:
        raise ArchiveMismatch(
            "the storage root holds no archive: is its disk mounted, and is storage.root right? "
            "To go on with an empty store, run `pacsd adopt store`"
        )


def adopt_store(store: BlobStore, index: Catalogue) -> None:
    """Take the store, whatever it was, for the index's: all files are looked at when the server starts.

    Raises ArchiveMismatch where the index is the half that is missing.
    """
    halves = _look(store, index)
    if not halves.index.has_instances and halves.has_files:
        raise ArchiveMismatch("the index is empty, and the store is not: run `pacsd adopt index`")
    _unite(halves, store, index, halves.index.identity or str(uuid.uuid4()))


def _unite(halves: _Halves, store: BlobStore, index: Catalogue, identity: str) -> None:
    generation = max(halves.store.generation if halves.store else 0, halves.index.generation) + 1
    store.identify(ArchiveIdentity(identity, generation))
    index.claim(ArchiveIdentity(identity, generation), swept_generation=EVERYTHING, anew=True)


def _look(store: BlobStore, index: Catalogue) -> _Halves:
    return _Halves(store.identity, index.state(), next(store.published(None), None) is not None)


def _verify(halves: _Halves, store: BlobStore, index: Catalogue) -> None:
    if halves.has_nothing and (halves.store is None or halves.index.identity is None):
        return  # new, or killed while it was made
    if halves.store is not None and halves.index.identity is not None:
        if halves.store.identity != halves.index.identity:
            if halves.has_lost_files:
                _refuse_empty_store()
            raise ArchiveMismatch(
                "the index belongs to another store: correct index.url or storage.root. If this index shall serve "
                "this store from now on, run `pacsd adopt index`: then all files are looked at"
            )
    elif halves.has_lost_files:
        _refuse_empty_store()
    elif halves.has_files and not halves.index.has_instances:
        _refuse_empty_index()
    elif not _agree(store, index):
        raise ArchiveMismatch(
            "the files that the index names are not in the store: correct index.url or storage.root. If this index "
            "shall serve this store from now on, run `pacsd adopt index`: then all files are looked at"
        )


def _refuse_empty_index() -> None:
    raise ArchiveMismatch(
        "the index is empty, but the store holds files: correct index.url, or put a backup of the index in its place. "
        "If there is none, run `pacsd adopt index`: the index is then made anew from all stored files"
    )


def _refuse_empty_store() -> None:
    raise ArchiveMismatch(
        "the storage root holds no stored file, but the index has instances: is its disk mounted, and is storage.root "
        "right? If the files are lost for good, run `pacsd adopt store` to go on with an empty store"
    )


def _agree(store: BlobStore, index: Catalogue) -> bool:
    """Whether files of some rows are there: for what was made before there were identities."""
    return any(store.has(stored.path) for stored in index.stored_after("", _SAMPLE))
