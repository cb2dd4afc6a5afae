"""The index as the daemon uses it: one object per process, over SQLite or PostgreSQL."""

from __future__ import annotations

from contextlib import closing, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

from sqlalchemy import exists, select
from sqlalchemy.exc import SQLAlchemyError

from pacsd.effort import Effort
from pacsd.errors import IndexUnavailable
from pacsd.index.database.attempts import Patience
from pacsd.index.database.engines import (
    Connections,
    database_file,
    database_url,
    reading_engine,
    writing_engine,
)
from pacsd.index.database.failures import unavailable
from pacsd.index.database.write_lock import WriteLock
from pacsd.index.maintenance import archive, conflicts, extra_keys_build, rereading
from pacsd.index.read import queries, selection
from pacsd.index.read.answers import Matches
from pacsd.index.read.query_watch import Watch
from pacsd.index.read.spool import Spools
from pacsd.index.read.streams import QueryPlaces, stream
from pacsd.index.schema import extra_keys
from pacsd.index.schema.tables import instances
from pacsd.index.write import additions
from pacsd.index.write.commits import commit, in_transaction, read_patiently
from pacsd.index.write.new_disagreements import Noticed
from pacsd.index.write.orphans import forget
from pacsd.index.write.rules import Rules
from pacsd.model import DemographicsPolicy

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
    from pathlib import Path

    from sqlalchemy import URL, Connection, Row, Select

    from pacsd.errors import DatasetInvalid
    from pacsd.model import (
        ArchiveIdentity,
        CommitResult,
        Difference,
        DisagreeingObjects,
        DuplicatePolicy,
        ExtraKeysBuild,
        FindQuery,
        IndexState,
        InstanceRecord,
        InstanceSelection,
        StoredInstance,
        StudyPatient,
        WorkProgress,
    )

__all__ = ["Index"]

_T = TypeVar("_T")

_PAGE: Final = 200
"""Rows to fetch at once."""
_READ_SECONDS: Final = 20.0
"""For which a query is tried while PostgreSQL is away: longer than most failovers take, and than few peers wait."""
_KEPT_FOR_STORES: Final = 8
"""Connections for reading that queries leave to those who store, and to the health checks; or a quarter of few."""


class Index:
    """What the archive knows of its instances. Thread safe; to be created in the worker, after the fork.

    Every method raises IndexUnavailable when the database cannot be reached, is locked or refuses to work.
    """

    def __init__(
        self,
        url: str | URL,
        *,
        duplicates: DuplicatePolicy,
        demographics: DemographicsPolicy = DemographicsPolicy.LATEST,
        extra_keywords: Collection[str] = (),
        accents: bool = False,
        lock_file: Path | None = None,
        turn_timeout: float = 30.0,
        commit_timeout: float = 60.0,
        connections: Connections | None = None,
        generation: int | None = None,
        read_only: bool = False,
        spool_folder: Path | None = None,
        spool_bytes: int = 1 << 30,
        observe_wait: Callable[[float], None] = lambda _: None,
        observe_turn: Callable[[bool], None] = lambda _: None,
        observe_attempt: Callable[[], None] = lambda: None,
        observe_difference: Callable[[Difference], None] = lambda _: None,
    ) -> None:
        """Open nothing yet; the database must have been brought up to date (`migrations.upgrade`).

        `accents` says whether they matter where names are asked for; what is stored is the same either way.
        `extra_keywords` are attributes to keep an index of, where `register_extra_keys` has been called for them.
        `lock_file` is for SQLite, whose writing processes take turns by it; all must name the same, by
        default the database's name with `.lock` behind. `turn_timeout` is in seconds, and
        so is what `observe_wait` is told of each wait for a turn; `observe_turn` is told whether this process has
        it now, `observe_attempt` of each attempt to write after the first; `observe_difference` is told, after the
        commit, of patients, studies and series whose instances disagree. `commit_timeout` says for how many seconds a
        write is tried while PostgreSQL is away, and a query for 20 at most; `connections` how many there may be to it
        (`capacity.connections_of_each`), None: many. `generation` is the server's that claimed the index: once another
        one has, nothing is written any more. `read_only` is for a disk that takes nothing: only what reads may be
        called. Matches that peers have yet to take are put aside in `spool_folder` (None: the system's), `spool_bytes`
        of all queries together. Raises ConfigurationError for a URL that isn't one.
        """
        parsed = database_url(url)
        self._rules: Final = Rules(
            duplicates, demographics, tuple(map(extra_keys.extra_key, sorted(set(extra_keywords))))
        )
        self._accents: Final = accents
        self._observe_difference: Final = observe_difference
        self._noticed: Final = Noticed()
        most = connections or Connections()
        self._reading: Final = reading_engine(parsed, most.reading, read_only=read_only)
        self._writing: Final = writing_engine(parsed, most.writing)
        self._query_places: Final = QueryPlaces(
            max(1, most.reading - min(_KEPT_FOR_STORES, most.reading // 4))
        )
        self._watch: Final = Watch()
        self._spools: Final = Spools(spool_folder, spool_bytes)
        self._patience: Final = Patience(commit_timeout, observe_attempt=observe_attempt)
        self._patience_to_read: Final = Patience(min(commit_timeout, _READ_SECONDS))
        if generation is not None:
            archive.fence(self._writing, generation)
        file = database_file(parsed)
        self._write_lock: Final = (
            None
            if file is None
            else WriteLock(
                lock_file or file.with_name(f"{file.name}.lock"),
                timeout=turn_timeout,
                observe_wait=observe_wait,
                observe_turn=observe_turn,
            )
        )

    def prepare(self) -> None:
        """Do what the first commit and the first query would have to; the database is not touched."""
        additions.prepare(self._writing)
        self._watch.start()

    def commit(self, records: Sequence[InstanceRecord]) -> list[CommitResult | DatasetInvalid]:
        """Keep a batch of instances, whose files are already safe, in one transaction; results in its order.

        A record that the database can't take is answered with a DatasetInvalid in its place, returned and not
        raised, and the others are kept all the same. IndexUnavailable means that no record is known to be kept;
        where it `may_be_written`, they may be: leave the files to the next start's sweep, don't delete them.
        """
        return commit(
            records,
            self._writing,
            self._write_lock,
            self._patience,
            self._rules,
            self._noticed,
            self._observe_difference,
        )

    def find(self, query: FindQuery, effort: Effort | None = None) -> Matches:
        """Answer a C-FIND: a mapping for each match, with an entry for every key asked for (PS3.4 C.4.1).

        A value is "" where the entity has none and for keys of `unsupported_keys`. Ordered by time of first
        receipt. IdentifierInvalid, naming the keywords, is raised here and not while iterating. `effort` says what it
        may cost and ends it where it is cancelled; None: whatever it costs.
        """
        effort = effort or Effort()
        plan = queries.plan(
            query, type(self._reading.dialect), self._built_extra_keys(query), accents=self._accents
        )
        begin = partial(
            stream,
            self._reading,
            plan.text,
            plan.parameters,
            places=self._query_places,
            watch=self._watch,
            effort=effort,
            long_columns=plan.long_columns,
            finds_few=plan.finds_few,
        )
        return Matches(
            begin,
            plan.answers,
            self._patience_to_read.begin(effort.check),
            effort=effort,
            watch=self._watch,
            spools=self._spools,
        )

    def _built_extra_keys(self, query: FindQuery) -> Collection[str]:
        asked = {each.keyword for each in self._rules.extra_keys if query.keys.get(each.keyword)}
        if not asked:
            return ()
        # Asked each time: `pacsd reindex` completes them while we run.
        return self._read(lambda connection: extra_keys.built(connection, asked))

    def unsupported_keys(self, query: FindQuery) -> tuple[str, ...]:
        """Keywords that are neither matched nor returned: unknown ones, bulk data, those below the level."""
        return queries.unsupported_keys(query)

    def locate(self, chosen: InstanceSelection, effort: Effort | None = None) -> Sequence[StoredInstance]:
        """The instances of a C-MOVE or C-GET: study by study, by series number, instance number and UID.

        Raises IdentifierInvalid where the selection breaks the hierarchy (PS3.4 C.4.2.2.1), and what ends `effort`.
        Where the files are is looked up a page at a time, when the page is reached; that raises what ends `effort` too.
        """
        effort = effort or Effort()

        def looked_up(connection: Connection) -> Sequence[StoredInstance]:
            watched = self._watch.watching(connection.connection.dbapi_connection, effort)

            def pages_of(statement: Select[Any]) -> Iterator[Sequence[Row[Any]]]:
                effort.check()
                # Neither driver makes objects of more rows than are asked for; psycopg has them all as they came.
                with closing(watched.wait_for(connection.execute, statement)) as result:
                    pages = result.partitions(_PAGE)
                    while (page := watched.wait_for(next, pages, None)) is not None:
                        effort.check()
                        yield page

            return selection.locate(pages_of, chosen, partial(self._look_up, effort))

        self._query_places.take(effort)
        effort.go_on()
        try:
            with self._ending(effort):
                return read_patiently(self._reading, looked_up, self._patience_to_read, effort.check)
        finally:
            effort.pause()  # sending what was found is not counted
            self._query_places.give_back()

    def _look_up(self, effort: Effort, sop_instance_uids: Sequence[str]) -> Mapping[str, StoredInstance]:
        return read_patiently(
            self._reading,
            lambda connection: selection.by_sop_instance_uids(connection, sop_instance_uids),
            self._patience_to_read,
            effort.check,
        )

    @contextmanager
    def _ending(self, effort: Effort) -> Iterator[None]:
        """Raise what ended an effort, and not what the database said of it."""
        try:
            yield
        except IndexUnavailable:
            effort.raise_if_over()
            raise

    def count(self, chosen: InstanceSelection) -> int:
        """How many instances `locate` would give; raises as it does."""
        return self._read(lambda connection: selection.count(connection, chosen))

    def has_path(self, path: str) -> bool:
        """Whether a row names this file."""
        is_known = select(exists().where(instances.c.path == path))
        return read_patiently(
            self._reading, lambda connection: bool(connection.scalar(is_known)), self._patience
        )

    def unknown_paths(self, paths: Sequence[str]) -> list[str]:
        """Those of the files that no row names, in their order; a thousand or so at once."""
        with self._connected() as connection:
            named = select(instances.c.path).where(instances.c.path.in_(paths))
            known = set(connection.scalars(named))
        return [path for path in paths if path not in known]

    def state(self) -> IndexState:
        """What the index says of itself."""
        with self._connected() as connection:
            return archive.state(connection)

    def claim(self, identity: ArchiveIdentity, *, swept_generation: int, anew: bool = False) -> None:
        """Belong to a store and to the server of its generation; raises ArchiveInUse where another one writes.

        `anew` says that whatever work was under way on the archive begins at its beginning.
        """
        self._write(lambda connection: archive.claim(connection, identity, swept_generation, anew=anew))

    def note_swept(self, generation: int) -> None:
        """Remember that all files of earlier generations of the store have been looked at."""
        self._write(lambda connection: archive.note_swept(connection, generation))

    def progress_of(self, work: str) -> WorkProgress | None:
        """How far a work has come; None where it never began."""
        with self._connected() as connection:
            return archive.progress_of(connection, work)

    def note_progress(self, work: str, reached: WorkProgress) -> None:
        """Remember how far a work has come."""
        self._write(lambda connection: archive.note_progress(connection, work, reached))

    def conflicts(self) -> Iterator[StudyPatient]:
        """The studies whose objects name several patients, each under each of them; by UID, streamed as `find` is."""
        with self._connected() as connection:
            yield from conflicts.conflicts(connection)

    def attribute_conflicts(self) -> Iterator[DisagreeingObjects]:
        """The objects of studies that disagree on attributes of patient, study or series; streamed likewise."""
        with self._connected() as connection:
            yield from conflicts.attribute_conflicts(connection)

    def count_instances(self) -> int:
        """How many instances there are; takes its time in a large index."""
        with self._connected() as connection:
            return archive.count_instances(connection)

    def forget(self, sop_instance_uid: str, path: str) -> bool:
        """Remove the row of an instance, if it still names this file, and what it leaves empty; returns whether."""
        return self._write(lambda connection: forget(connection, sop_instance_uid, path, self._rules))

    def find_by_sop_instance_uid(self, sop_instance_uid: str) -> StoredInstance | None:
        """The instance that is kept under a UID, wherever it belongs."""
        return read_patiently(
            self._reading,
            lambda connection: selection.by_sop_instance_uid(connection, sop_instance_uid),
            self._patience,
        )

    def register_extra_keys(self) -> tuple[str, ...]:
        """Keep the values of `extra_keywords`, and of no others, from now on; returns those still to be built.

        To be called at the start of a server, before anything is stored.
        """
        return self._write(lambda connection: extra_keys.register(connection, self._rules.extra_keys))

    def registered_extra_keys(self) -> Collection[str]:
        """The keys that the last server was started with."""
        with self._connected() as connection:
            return extra_keys.registered(connection)

    def unbuilt_extra_keys(self) -> Sequence[ExtraKeysBuild]:
        """What `build_extra_keys` has to do."""
        with self._connected() as connection:
            return extra_keys_build.unbuilt(connection)

    def build_extra_keys(self, build: ExtraKeysBuild) -> ExtraKeysBuild:
        """Build some more of it, in a transaction; returns where it stands then."""
        return self._write(lambda connection: extra_keys_build.build_step(connection, build))

    def remove_extra_values(self) -> int:
        """Remove some values of keys that are not registered, in a transaction; returns how many."""
        return self._write(extra_keys_build.remove_step)

    def stored_after(self, path: str, most: int) -> Sequence[StoredInstance]:
        """The next instances behind a file, in the order of paths; from the first one behind ""."""
        with self._connected() as connection:
            return selection.stored_after(connection, path, most)

    def refresh(self, attributes: Mapping[str, Mapping[str, str]]) -> int:
        """Bring rows up to date with what a few files say, attributes by path; returns how many rows changed.

        Above the instances, attributes are added and none is changed; see `rereading`.
        """
        return self._write(lambda connection: rereading.refresh(connection, attributes, self._rules))

    def end_attempts_within(self, seconds: float) -> None:
        """Try nothing for longer than that from now on: commits and queries that wait for the database fail then."""
        self._patience.end_within(seconds)
        self._patience_to_read.end_within(seconds)

    def dispose(self) -> None:
        """Close the pooled connections and the lock file; a later call opens them again."""
        self._reading.dispose()
        self._writing.dispose()
        self._patience.close()
        self._watch.close()
        if self._write_lock is not None:
            self._write_lock.close()

    def _write(self, work: Callable[[Connection], _T]) -> _T:
        return in_transaction(self._writing, work, self._write_lock, self._patience)

    def _read(self, work: Callable[[Connection], _T]) -> _T:
        """For what a peer waits for."""
        return read_patiently(self._reading, work, self._patience_to_read)

    @contextmanager
    def _connected(self) -> Iterator[Connection]:
        try:
            with self._reading.connect() as connection:
                yield connection
        except SQLAlchemyError as error:
            raise unavailable("read", error) from error
