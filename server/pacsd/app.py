"""The composition root: the one place that reads settings and knows the concrete store and index."""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from glob import escape
from pathlib import Path
from typing import Final, Literal

import structlog

from dicomnet import DicomNet, NetConfiguration, PeerCertificate, Timeouts, TlsConfiguration
from pacsd.dataset.budgets import DEFAULT_BUDGETS, Budgets
from pacsd.dataset.memory import total_memory
from pacsd.dataset.transcode import Transcoder
from pacsd.decoder.pool import DecoderPool
from pacsd.errors import (
    ArchiveInUse,
    ArchiveMismatch,
    ConfigurationError,
    IndexIncomplete,
    IndexUnavailable,
)
from pacsd.http.health import watched_index_disk, watched_storage_disk
from pacsd.http.server import run_http
from pacsd.index.database.engines import database_file, database_place, database_url
from pacsd.index.maintenance.capacity import capacity, connections_of_each
from pacsd.index.maintenance.promises import broken_promises, refuse_shared_sessions
from pacsd.index.repository import Index
from pacsd.index.schema import migrations
from pacsd.model import (
    ArchiveIdentity,
    AttributeConflict,
    DemographicsDifference,
    Difference,
    DisagreeingObjects,
    DuplicatePolicy,
    ExtraKeysBuild,
    InstanceRecord,
    Service,
    StudyConflict,
    StudyPatient,
    WorkProgress,
)
from pacsd.observability.metrics import Metrics
from pacsd.ownership import lock_files, own
from pacsd.permissions import give_to_owner
from pacsd.revocation import RevokedCertificates
from pacsd.scp.access import AccessRules, AnswerRules, KnownPeer
from pacsd.scp.bandwidth import Bandwidth
from pacsd.scp.echo import answer_echo
from pacsd.scp.exceeded_limits import ExceededLimits
from pacsd.scp.find import FindHandler
from pacsd.scp.get import GetHandler
from pacsd.scp.host_addresses import HostAddresses, RememberedAddresses
from pacsd.scp.move import MoveHandler
from pacsd.scp.pacs_net import PacsNet
from pacsd.scp.routes import Routes
from pacsd.scp.store import answer_store
from pacsd.scp.turns import Turns, WhileWaiting
from pacsd.scu.peer import Peer
from pacsd.services.archive import (
    adopt_index,
    adopt_store,
    begin_generation,
    is_whole_as_it_is,
    require_store,
)
from pacsd.services.housekeeping import Housekeeping
from pacsd.services.ingest import Ingest
from pacsd.services.long_values import LongValues
from pacsd.services.quarantine import QuarantinedInstance, quarantine_instance, restore_file
from pacsd.services.query import Queries
from pacsd.services.records import attributes_of_file, record_of_file
from pacsd.services.reindex import Reindexed, Reread
from pacsd.services.reindex import reindex as build_extra_keys
from pacsd.services.reindex import reread_files as reread_headers
from pacsd.services.retrieve import KeptInstances
from pacsd.services.scrub import SCRUB, VERIFY, Fault, Scrub
from pacsd.services.sweep import Sweeping, remove_half_files
from pacsd.services.verification import VerifyBy
from pacsd.settings import PeerSettings, Settings, TimeoutSettings
from pacsd.storage.aside import Aside
from pacsd.storage.disk import storage_errors
from pacsd.storage.filesystem import FileStore
from pacsd.storage.identity import ARCHIVE, identity_fault
from pacsd.storage.quarantine import Quarantine
from pacsd.supervision.places import PlaceLimits, Places
from pacsd.supervision.process_role import ProcessRole
from pacsd.supervision.shared_numbers import IndexCompleteness
from pacsd.supervision.signs_of_life import PARTS, Acceptance
from pacsd.supervision.worker import SharedState, Stop, WorkerContext
from pacsd.tls import load_tls

__all__ = [
    "ROLES",
    "adopt",
    "attribute_conflicts",
    "clear_up",
    "conflicts",
    "net_configuration",
    "prepare",
    "prepare_to_read",
    "quarantine",
    "quarantined_files",
    "reindex",
    "reread_files",
    "restore",
    "run_housekeeping",
    "run_worker",
    "upgrade_database",
    "verify",
    "why_read_only",
]

_log = structlog.get_logger()

_DICOM_SOCKETS: Final = ("dicom", "dicom.tls")

_RIGHT_PLACE: Final = "are this the configuration and the working folder of the server?"
"""What to ask where there is no archive: paths may be relative to the working folder."""
CONNECTIONS_THAT_END: Final = 250
"""That a worker may have besides those with an association and those that wait for one: they were told to end."""
_COMPLETION_SECONDS: Final = 3.0
"""That a query waits at most for an index that is about to be complete, as after an ordinary start."""
_FILES_WAITED_FOR: Final = 300
"""Files to be looked at, of which more are not waited for."""
_DEAD_CONNECTIONS_SECONDS: Final = 5.0
"""That a start waits for PostgreSQL to notice that the connections of a killed server are gone."""
_HOUSEKEEPING_COMMIT: Final = 5.0
"""Seconds that housekeeping tries a commit: it comes again, and looks meanwhile whether it is to stop."""
_LAST_ANSWERS: Final = 1.0
"""Seconds of the shutdown that are left when the last commits are given up."""
_TURN_SECONDS: Final = 30.0
"""That an operation waits for its turn, beside the time that commits may take."""
_RETIRED_CHECK_INTERVAL: Final = 1.0
"""Seconds between looks whether a retired worker's last association has ended."""
_FIRST_LOOK_SECONDS: Final = 2.0
"""That standing associations keep rights at most because the host of their new rules is still being looked up."""


def prepare(settings: Settings) -> ArchiveIdentity:
    """Make the store and the index ready, before any worker exists; half files of a crash go.

    Returns which archive they are and the generation of it that begins, for `SharedState`.

    Raises StorageUnavailable, IndexUnavailable, ArchiveInUse, and ArchiveMismatch where the two do not belong together.
    """
    if settings.storage.sync == "off":
        _log.warning("storage-sync-off", consequence="a power cut may lose instances that were acknowledged")
    _verify_database(settings)
    store = _file_store(settings)
    store.open()
    index = _whole_index(settings)
    try:
        with _naming_both_halves(settings):
            begun = _begun_generation(store, index)
        half_files = remove_half_files(store)
        _log.info("archive-opened", generation=begun.generation, half_files_removed=half_files)
        unbuilt = index.register_extra_keys()
        if unbuilt:
            _log.warning("extra-keys-not-built", keywords=unbuilt, remedy="run `pacsd reindex`")
    finally:
        index.dispose()
        store.close()
    return begun


def why_read_only(settings: Settings) -> str:
    """Return why nothing can be stored, "" if it can: a disk of the archive that is full or read-only."""
    disks = {"storage.root": watched_storage_disk(settings.storage)}
    if (index_disk := watched_index_disk(settings.index)) is not None:
        disks["the index"] = index_disk
    for name, disk in disks.items():
        if reason := disk.why_unwritable():
            return f"the disk of {name} takes nothing: {reason}"
    return ""


def prepare_to_read(settings: Settings) -> tuple[ArchiveIdentity, bool]:
    """Make sure, without writing anything, that what is kept can be served; return which archive it is.

    And whether the index knows all of it.

    Raises StorageUnavailable, IndexUnavailable, MigrationNeeded and ArchiveMismatch.
    """
    migrations.check(settings.index.url, read_only=True)
    store = _file_store(settings)
    index = Index(settings.index.url, duplicates=settings.storage.duplicates, read_only=True)
    try:
        with _naming_both_halves(settings):
            return is_whole_as_it_is(store, index)
    finally:
        index.dispose()


def _begun_generation(store: FileStore, index: Index) -> ArchiveIdentity:
    """Begin a generation; wait a little for PostgreSQL to notice that a killed server's connections are gone."""
    deadline = time.monotonic() + _DEAD_CONNECTIONS_SECONDS
    while True:
        try:
            return begin_generation(store, index)
        except ArchiveInUse as error:
            if time.monotonic() >= deadline:
                raise
            _log.warning("waiting-for-other-writers", reason=str(error))
            time.sleep(0.5)


def run_housekeeping(context: WorkerContext) -> int:
    """Complete the index, then do what is to be done beside serving, until told to stop; return the exit status."""
    settings, shared = context.settings, context.shared
    generation = shared.identity.generation
    store = _file_store(settings, generation)
    index = _whole_index(
        settings,
        generation=generation,
        commit_timeout=_HOUSEKEEPING_COMMIT,
        observe_turn=context.signs.note_turn,
    )
    house = Housekeeping(
        Sweeping(
            store,
            index,
            read_record=partial(_record_of_file, settings, store),
            policy=settings.storage.duplicates,
            report=shared.completeness.report,
        ),
        index,
        Scrub(
            store=store,
            index=index,
            work=SCRUB,
            by="checksum",
            report_fault=partial(_note_fault, shared.metrics),
        ),
        generation=generation,
        scrub_days=settings.integrity.scrub_days,
        scrub_bytes_per_second=settings.integrity.scrub_mb_per_second * 1e6,
        metrics=shared.metrics,
        is_complete=lambda: shared.completeness.is_complete,
        note_complete=shared.completeness.complete,
        deaths=lambda: int(shared.deaths[0]),
        store_fault=partial(identity_fault, settings.storage.root, shared.identity),
        wait_for_stop=lambda seconds: context.wait_for_stop(seconds) is not None,
    )
    house.keep()
    index.dispose()
    store.close()
    return 0


def _record_of_file(settings: Settings, store: FileStore, path: str) -> InstanceRecord:
    """Return what the index should say of a file whose sender is what the configuration says of its title now."""
    record = record_of_file(
        store,
        path,
        checksum_algorithm=settings.storage.checksum,
        default_character_set=partial(_default_character_set, settings),
        maximum_inflated=settings.decompression.max_inflated_bytes,
    )
    sender = settings.find_peer(record.calling_ae_title)
    return replace(record, may_correct=sender is not None and "store" in sender.allow, is_from_file=True)


def _note_fault(metrics: Metrics, fault: Fault) -> None:
    if fault.sop_instance_uid:
        metrics.instance_damaged("scrub")
        _log.error(
            "instance-damaged", sop_instance_uid=fault.sop_instance_uid, path=fault.path, reason=fault.reason
        )
    else:
        _log.warning("file-without-row", path=fault.path, reason=fault.reason)


def verify(
    settings: Settings,
    *,
    by: VerifyBy,
    anew: bool,
    bytes_per_second: float | None,
    report_begin: Callable[[WorkProgress], None],
    report: Callable[[WorkProgress], None],
    report_fault: Callable[[Fault], None],
) -> WorkProgress:
    """Compare the index with the files in both directions; beside a running server, or without one.

    `bytes_per_second` bounds how fast files are read. Raises IndexUnavailable, MigrationNeeded, StorageUnavailable, and
    ArchiveMismatch where there is no archive.
    """
    with _checked_index(settings) as index:
        scrub = Scrub(
            store=_file_store(settings), index=index, work=VERIFY[by], by=by, report_fault=report_fault
        )
        try:
            report_begin(scrub.begin(anew=anew))
            while (read := scrub.step()) is not None:
                report(scrub.reached)
                if bytes_per_second:
                    time.sleep(read / bytes_per_second)
        except KeyboardInterrupt:
            scrub.pause()
            raise
    return scrub.reached


def quarantine(settings: Settings, sop_instance_uid: str, reason: str) -> QuarantinedInstance:
    """Take an instance out of service, beside a running server or without one; see `services.quarantine`."""
    with _checked_index(settings) as index:
        return quarantine_instance(_file_store(settings), index, sop_instance_uid, reason)


def restore(settings: Settings, name: str) -> str:
    """Put a file in quarantine back into service and return its path; see `services.quarantine`."""
    store = _file_store(settings)
    with _checked_index(settings) as index:
        return restore_file(
            store,
            index,
            name,
            partial(_record_of_file, settings, store),
        )


def _default_character_set(settings: Settings, ae_title: str) -> str:
    peer = settings.find_peer(ae_title)
    return (peer.default_character_set if peer else None) or ""


def quarantined_files(settings: Settings) -> Quarantine:
    """Return the quarantine of the store; raises ArchiveMismatch where there is no archive, StorageUnavailable."""
    with _naming_both_halves(settings):
        _require_store_of_archive(settings)
        # It can be looked at, and emptied, while the database is away.
        with suppress(IndexUnavailable):
            _require_database(settings)
    return _file_store(settings).quarantined


@contextmanager
def _checked_index(settings: Settings) -> Iterator[Index]:
    """Yield the index of an archive that there is, and make nothing where there is none: raises ArchiveMismatch."""
    with _naming_both_halves(settings):
        _require_store_of_archive(settings)
        _require_database(settings)
    migrations.check(settings.index.url)
    index = _whole_index(settings)
    try:
        if index.state().identity is None:
            with _naming_both_halves(settings):
                raise ArchiveMismatch(f"the index belongs to no archive yet: {_RIGHT_PLACE}")
        yield index
    finally:
        index.dispose()


def _require_store_of_archive(settings: Settings) -> None:
    if not _file_store(settings).is_archive:
        raise ArchiveMismatch(
            f"the storage root holds no archive (no {ARCHIVE}): is its disk mounted, and {_RIGHT_PLACE}"
        )


def _require_database(settings: Settings) -> None:
    if migrations.current(settings.index.url, read_only=True) is None:
        raise ArchiveMismatch(
            f"the index's database is missing or empty: {_RIGHT_PLACE} To have the index made anew from the stored "
            "files, run `pacsd adopt index`"
        )


@contextmanager
def _naming_both_halves(settings: Settings) -> Iterator[None]:
    """Let an ArchiveMismatch say which store and which index were looked at."""
    try:
        yield
    except ArchiveMismatch as error:
        raise ArchiveMismatch(
            f"{error} (storage.root is {settings.storage.root.absolute()}, the index is "
            f"{database_place(settings.index.url)})"
        ) from error


def _whole_index(
    settings: Settings,
    *,
    generation: int | None = None,
    commit_timeout: float | None = None,
    observe_turn: Callable[[bool], None] = lambda _: None,
) -> Index:
    """Return an index for making it complete: it keeps the first of duplicates, whatever the policy for new ones."""
    return Index(
        settings.index.url,
        duplicates=DuplicatePolicy.KEEP_FIRST,
        demographics=settings.index.demographics,
        extra_keywords=settings.index.extra_keys,
        observe_difference=partial(_log_difference, settings),
        generation=generation,
        commit_timeout=commit_timeout or settings.index.commit_timeout,
        observe_turn=observe_turn,
    )


def conflicts(settings: Settings) -> Iterator[StudyPatient]:
    """Yield the patients of each study that has several, study by study; raises IndexUnavailable, MigrationNeeded."""
    with _checked_index(settings) as index:
        yield from index.conflicts()


def attribute_conflicts(settings: Settings) -> Iterator[DisagreeingObjects]:
    """Yield what the objects of each study disagree on, study by study; raises as `conflicts` does."""
    with _checked_index(settings) as index:
        yield from index.attribute_conflicts()


def adopt(settings: Settings, half: Literal["index", "store"]) -> None:
    """Make store and index one archive, whatever they were; no server may run.

    Nothing is made where the half that is to stay is not there. Raises ArchiveInUse, ArchiveMismatch,
    StorageUnavailable, IndexUnavailable and MigrationNeeded.
    """
    with _naming_both_halves(settings):
        _require_half_that_stays(settings, half)
        with _new_index_files_given_away(settings):
            _adopt(settings, half)


def upgrade_database(settings: Settings) -> None:
    """Bring the index's database to the schema of this version; see `migrations.upgrade`."""
    with _new_index_files_given_away(settings):
        migrations.upgrade(settings.index.url)


@contextmanager
def _new_index_files_given_away(settings: Settings) -> Iterator[None]:
    """Let what root makes of an SQLite index in the block belong to the store's owner, as the server may not be root.

    Only where there is a store to go by. Raises StorageUnavailable.
    """
    file = database_file(database_url(settings.index.url))
    if file is None:
        yield
        return
    before = _files_and_folders(file)
    try:
        yield
    finally:
        with storage_errors("give the index to the owner of the storage root"):
            for made in _files_and_folders(file) - before:
                with suppress(FileNotFoundError):
                    give_to_owner(made, settings.storage.root)


def _files_and_folders(file: Path) -> set[Path]:
    """Return which there are: the folders that lead to an index, itself, and what is kept beside it under its name."""
    file = file.absolute()
    beside = file.parent.glob(f"{escape(file.name)}*")
    return {path for path in (*file.parents, *beside) if path.exists()}


def _require_half_that_stays(settings: Settings, half: Literal["index", "store"]) -> None:
    if half == "store":
        _require_database(settings)
    elif settings.storage.root.is_dir():
        require_store(_file_store(settings))
    else:
        raise ArchiveMismatch(f"there is no folder storage.root: is its disk mounted, and {_RIGHT_PLACE}")


def _adopt(settings: Settings, half: Literal["index", "store"]) -> None:
    with own(_locks(settings)):
        store = _file_store(settings)
        store.open()
        if database_file(database_url(settings.index.url)) is None:
            migrations.check(settings.index.url)
        else:
            migrations.upgrade(settings.index.url)
        index = _whole_index(settings)
        try:
            (adopt_index if half == "index" else adopt_store)(store, index)
        finally:
            index.dispose()


def _locks(settings: Settings) -> list[Path]:
    return lock_files(settings.storage.root, database_file(database_url(settings.index.url)))


def _verify_database(settings: Settings) -> None:
    """Tell of what is wrong with the database; raise ConfigurationError where it is not fit to keep the index."""
    url = settings.index.url
    refuse_shared_sessions(url)
    broken = broken_promises(url)
    for promise in broken:
        _log.error("database-not-durable", reason=promise)
    if broken and settings.index.durability == "required":
        raise ConfigurationError(
            f"the database may lose what it has committed: {'; '.join(broken)}; or, to start all the same, write "
            'durability = "as-configured" below [index]'
        )
    found = capacity(url, settings.server.worker_count)
    if found is not None and found.is_tight:
        each = found.of_each
        _log.warning(
            "database-connections-tight",
            room=found.room,
            workers=found.workers,
            writing_of_each=each.writing,
            reading_of_each=each.reading,
            remedy=found.remedy,
        )


def reindex(settings: Settings, report: Callable[[ExtraKeysBuild], None]) -> Reindexed:
    """Build the extra keys of what is stored; raises ReindexRefused, IndexUnavailable, MigrationNeeded."""
    migrations.check(settings.index.url)
    index = Index(settings.index.url, duplicates=settings.storage.duplicates)
    try:
        return build_extra_keys(index, settings.index.extra_keys, report=report)
    finally:
        index.dispose()


def reread_files(
    settings: Settings,
    report: Callable[[Reread], None],
    report_unreadable: Callable[[str, str], None],
) -> Reread:
    """Bring the index up to date with the headers of all stored files; raises IndexUnavailable, MigrationNeeded."""
    migrations.check(settings.index.url)
    store = _file_store(settings)
    index = Index(
        settings.index.url,
        duplicates=settings.storage.duplicates,
        extra_keywords=settings.index.extra_keys,
    )
    try:
        return reread_headers(
            index,
            partial(
                attributes_of_file,
                store,
                default_character_set=partial(_default_character_set, settings),
                maximum_inflated=settings.decompression.max_inflated_bytes,
            ),
            report=report,
            report_unreadable=report_unreadable,
        )
    finally:
        index.dispose()


def clear_up(settings: Settings, pid: int) -> None:
    """Remove the half files that a killed worker has left; raises StorageUnavailable."""
    store = _file_store(settings)
    for path in store.leftovers(pid):
        store.remove(path)


def run_worker(context: WorkerContext) -> int:
    """Serve connections until told to stop, drain, and return the exit status of this process.

    Raises ConfigurationError where certificates cannot be used any more.
    """
    settings = context.settings
    tls = load_tls(settings)
    addresses = _host_addresses(settings, context.shared)
    addresses.start()
    metrics = context.shared.metrics
    generation = context.shared.identity.generation
    store = _file_store(settings, generation, context)
    put_aside_in = None if context.read_only else settings.storage.root
    index = Index(
        settings.index.url,
        duplicates=settings.storage.duplicates,
        demographics=settings.index.demographics,
        extra_keywords=settings.index.extra_keys,
        accents=settings.index.names == "case-insensitive",
        commit_timeout=settings.index.commit_timeout,
        connections=connections_of_each(settings.index.url, settings.server.worker_count),
        generation=None if context.read_only else generation,
        read_only=bool(context.read_only),
        spool_folder=put_aside_in,
        spool_bytes=settings.limits.waiting_matches_bytes,
        observe_wait=metrics.database_wait,
        observe_turn=context.signs.note_turn,
        observe_attempt=context.signs.note_attempt,
        observe_difference=partial(_note_difference, settings, metrics),
    )
    index.prepare()
    budgets = _budgets(settings)
    decoders = DecoderPool(
        processes=settings.decompression.processes,
        seconds=settings.decompression.timeout,
        memory=budgets.instance,
        observe_loss=metrics.decoder_replaced,
    )
    transcode = Aside(
        Transcoder(decoders, budgets, taken=context.shared.converting, slot=context.index),
        put_aside_in,
        # Beside what is being converted, which is twice that budget at most.
        in_memory=budgets.instance // (2 * settings.server.worker_count),
        in_files=settings.limits.waiting_matches_bytes,
    )
    plain, over_tls = ([context.sockets[name]] if name in context.sockets else [] for name in _DICOM_SOCKETS)
    acceptance = Acceptance([*plain, *over_tls])
    routes = _routes(context, store, index, addresses, acceptance.note)
    instances = KeptInstances(store, index, verify_by=settings.integrity.on_retrieve, metrics=metrics)
    move = _move_handler(settings, index, instances, transcode, tls)
    net = PacsNet(
        replace(net_configuration(settings), tls=tls if settings.dicom.tls.enabled else None),
        routes,
        {
            Service.ECHO: answer_echo,
            Service.STORE: answer_store,
            Service.FIND: _find_handler(settings, store, index).answer,
            Service.MOVE: move.answer,
            Service.GET: GetHandler(index, instances, transcode, clock=time.monotonic).answer,
        },
    )
    net.listen_on(over_tls, plain=plain)
    # What is there now stays; to look for garbage in it again and again costs a few per cent of the time.
    gc.collect()
    gc.freeze()
    context.signs.looks.append(lambda: context.signs.note_accepting(is_stuck=acceptance.is_stuck()))
    context.ready()
    if context.wait_for_stop() is Stop.RETIRE:
        net.stop_accepting()
        addresses = _retired(context, net, move, addresses)
    addresses.stop()
    # What waits for the database is told in time to its peers, before they are cut off.
    index.end_attempts_within(max(0.0, settings.server.shutdown_timeout - _LAST_ANSWERS))
    if routes.bandwidth is not None:
        routes.bandwidth.stop()
    net.close(timeout=settings.server.shutdown_timeout)
    decoders.close()
    index.dispose()
    return 0


ROLES: Final = (
    ProcessRole(
        "worker",
        run_worker,
        sockets=_DICOM_SOCKETS,
        parts=PARTS,
        count=lambda settings: settings.server.worker_count,
        serves_associations=True,
    ),
    ProcessRole("http", run_http, sockets=("http",), ends_last=True),
    # Never two at once: what one has looked at, another could have removed.
    ProcessRole("housekeeping", run_housekeeping, parts=("beat", "turn"), needs_disk=True, is_alone=True),
)
"""The kinds of processes that a server consists of."""


def _retired(
    context: WorkerContext, net: PacsNet, move: MoveHandler, addresses: HostAddresses
) -> HostAddresses:
    """Serve the associations that there are to their end, or until the SHUTDOWN; return the addresses now in use.

    Rules that change meanwhile hold for them too: those that lose a right end.
    """
    while True:
        settings = context.take_new_settings()
        if settings is not None:
            addresses.stop()
            addresses = _host_addresses(settings, context.shared)
            addresses.start()
            addresses.wait_until_tried(_FIRST_LOOK_SECONDS)
            move.destinations = _destinations(settings, _tls_if_usable(settings))
            net.change_rules(_access_rules(settings, addresses, _revoked_now(settings)))
        net.interrupt_withdrawn()
        if not net.client_count or context.wait_for_stop(_RETIRED_CHECK_INTERVAL) is Stop.SHUTDOWN:
            return addresses


def _revoked_now(settings: Settings) -> Callable[[PeerCertificate], bool]:
    """Return what says of a peer's certificate whether it is on a revocation list now."""
    tls = settings.dicom.tls
    if not tls.enabled or tls.crl is None:
        return lambda _: False
    try:
        revoked = RevokedCertificates(tls.crl)
    except ConfigurationError as error:
        _log.error("revocation-list-not-usable", reason=str(error))
        return lambda _: False
    return lambda certificate: revoked.has(certificate.encoded)


def _tls_if_usable(settings: Settings) -> TlsConfiguration | None:
    try:
        return load_tls(settings)
    except ConfigurationError as error:
        # Its successors say the same, and end. Where it calls over TLS, this one then fails to.
        _log.error("tls-not-usable", reason=str(error))
        return None


def _host_addresses(settings: Settings, shared: SharedState) -> HostAddresses:
    folder = shared.host_addresses
    return HostAddresses(
        {peer.host for peer in settings.peer},
        remembered=RememberedAddresses(folder) if folder is not None else None,
    )


def _budgets(settings: Settings) -> Budgets:
    chosen, most = settings.decompression, DEFAULT_BUDGETS.instance
    instance = chosen.max_instance_mb * 1_000_000 or min(most, (total_memory() or 4 * most) // 4)
    return Budgets(frame=min(chosen.max_frame_mb * 1_000_000, instance), instance=instance)


def net_configuration(settings: Settings) -> NetConfiguration:
    """Return what the engine is told, for accepted and for our own connections."""
    return NetConfiguration(
        maximum_length=settings.dicom.max_pdu_length,
        maximum_connections=settings.dicom.max_associations
        + settings.limits.connections_without_association
        + CONNECTIONS_THAT_END,
        maximum_unassociated=settings.limits.connections_without_association,
        maximum_unassociated_per_address=settings.limits.connections_without_association_per_address,
        while_waiting=WhileWaiting(),
        maximum_operations=settings.dicom.max_operations,
        timeouts=_timeouts(settings.dicom.timeouts),
    )


def _timeouts(settings: TimeoutSettings) -> Timeouts:
    return Timeouts(**settings.model_dump())


def _file_store(
    settings: Settings, generation: int | None = None, context: WorkerContext | None = None
) -> FileStore:
    """Return the store; with a `context` for receiving, in step with the other processes."""
    index_disk = watched_index_disk(settings.index)
    return FileStore(
        settings.storage.root,
        sync=settings.storage.sync == "full",
        min_free_bytes=settings.storage.min_free_bytes,
        checksum_algorithm=settings.storage.checksum,
        generation=generation,
        reserved=context.shared.reserved if context else None,
        slot=context.index if context else 0,
        other_disks=[index_disk] if index_disk else [],
    )


def _routes(
    context: WorkerContext,
    store: FileStore,
    index: Index,
    addresses: HostAddresses,
    note_connection: Callable[[], None],
) -> Routes:
    settings, shared = context.settings, context.shared
    metrics = shared.metrics
    exceeded = ExceededLimits(metrics.limit_exceeded)
    return Routes(
        access=_access_rules(settings, addresses),
        places=_places(settings, shared, context.index),
        note_connection=note_connection,
        require_complete=partial(_require_complete, settings, shared.completeness, context.read_only),
        ingest=Ingest(
            store,
            index,
            metrics=metrics,
            observe_commit=context.signs.note_commit,
            read_only=context.read_only,
            strict_uids=settings.dicom.strict_uids,
            maximum_inflated=settings.decompression.max_inflated_bytes,
            clock=time.monotonic,
        ),
        query_seconds=settings.limits.query_seconds or math.inf,
        bandwidth=_bandwidth(settings, shared, context.index),
        metrics=metrics,
        exceeded=exceeded,
        turns=Turns(
            settings.limits.operations_per_peer,
            longest_wait=settings.index.commit_timeout + _TURN_SECONDS,
            note_refusal=partial(exceeded.note, "operations-per-peer"),
        ),
    )


def _find_handler(settings: Settings, store: FileStore, index: Index) -> FindHandler:
    long_values = LongValues(store, index, default_character_set=partial(_default_character_set, settings))
    queries = Queries(
        index,
        long_values=long_values.of,
        answer_seconds=settings.limits.answer_seconds or math.inf,
    )
    return FindHandler(queries, ae_title=settings.dicom.ae_title)


def _move_handler(
    settings: Settings,
    index: Index,
    instances: KeptInstances,
    transcode: Aside,
    tls: TlsConfiguration | None,
) -> MoveHandler:
    configuration = net_configuration(settings)
    return MoveHandler(
        index,
        instances,
        transcode,
        destinations=_destinations(settings, tls),
        ae_title=settings.dicom.ae_title,
        new_net=lambda: DicomNet(configuration),
        clock=time.monotonic,
    )


def _bandwidth(settings: Settings, shared: SharedState, slot: int) -> Bandwidth | None:
    limit = settings.limits.mb_per_second_per_peer
    callers = shared.callers

    def share_of(caller: str) -> float:
        return (callers.own(slot, caller) or 1) / (callers.total(caller) or 1)

    return Bandwidth(limit * 1e6, share_of) if limit else None


def _places(settings: Settings, shared: SharedState, slot: int) -> Places:
    limits = settings.limits
    return Places(
        shared.associations,
        shared.callers,
        slot,
        PlaceLimits(
            # Without peers nobody could have them.
            kept_for_peers=int(settings.dicom.max_associations * limits.kept_for_peers)
            if settings.peer
            else 0,
            per_address=limits.associations_per_address,
            per_title=limits.associations_per_title,
        ),
    )


def _destinations(settings: Settings, tls: TlsConfiguration | None) -> dict[str, Peer]:
    return {
        peer.ae_title: Peer(peer.ae_title, peer.host, peer.port, tls if peer.tls else None)
        for peer in settings.peer
        if tls is not None or not peer.tls
    }


def _require_complete(
    settings: Settings, completeness: IndexCompleteness, read_only: str, look: Callable[[], None]
) -> None:
    """Return once the index knows all files, if that is a matter of seconds; else raise IndexIncomplete.

    `look` is called while it waits, and may raise what ends that.
    """
    deadline = time.monotonic() + _COMPLETION_SECONDS
    while not completeness.is_complete and settings.integrity.queries_while_incomplete == "refuse":
        if read_only:
            raise IndexIncomplete(
                f"the index does not know all stored files, and cannot learn of them: {read_only}"
            )
        done, total = completeness.looked_at
        if total - done > _FILES_WAITED_FOR or time.monotonic() >= deadline:
            raise _incomplete(done, total)
        look()
        time.sleep(0.02)


def _incomplete(done: int, total: int) -> IndexIncomplete:
    return IndexIncomplete(
        f"the index is being completed: {done} of {total} files have been looked at; try again later"
    )


def _note_difference(settings: Settings, metrics: Metrics, difference: Difference) -> None:
    match difference:
        case StudyConflict():
            metrics.study_conflict()
        case AttributeConflict(level=level, keywords=keywords):
            metrics.attribute_conflict(level.value.lower(), len(keywords))
        case DemographicsDifference():
            metrics.demographics_differ(settings.index.demographics.value)
    _log_difference(settings, difference)


def _log_difference(settings: Settings, difference: Difference) -> None:
    match difference:
        case StudyConflict(study_instance_uid, patients):
            _log.warning(
                "study-of-several-patients",
                study_instance_uid=study_instance_uid,
                count=patients,
                remedy="`pacsd conflicts` says which; have the right objects sent again",
            )
        case AttributeConflict(level, study_instance_uid, series_instance_uid, keywords):
            of_series = {"series_instance_uid": series_instance_uid} if series_instance_uid else {}
            _log.warning(
                "attributes-disagree",
                query_level=level.value,
                study_instance_uid=study_instance_uid,
                **of_series,
                keywords=keywords,
                remedy="`pacsd conflicts` says who sent what; have the right objects sent again",
            )
        case DemographicsDifference(study_instance_uid, keywords):
            _log.warning(
                "demographics-differ",
                study_instance_uid=study_instance_uid,
                keywords=keywords,
                kept=settings.index.demographics.value,
            )


def _access_rules(
    settings: Settings,
    addresses: HostAddresses,
    is_revoked: Callable[[PeerCertificate], bool] = lambda _: False,
) -> AccessRules:
    tls = settings.dicom.tls
    return AccessRules(
        ae_title=settings.dicom.ae_title,
        check_called_ae_title=settings.dicom.check_called_ae_title,
        peers={peer.ae_title: _known_peer(peer) for peer in settings.peer},
        unknown_peers=frozenset(Service(name) for name in settings.access.unknown_peers),
        unknown_peers_answers=AnswerRules(max_matches=settings.access.max_matches),
        unknown_peers_move_to=_titles(settings.access.move_to),
        accept_unknown_sop_classes=settings.dicom.accept_unknown_sop_classes,
        accept_unknown_transfer_syntaxes=settings.dicom.accept_unknown_transfer_syntaxes,
        require_certificate=tls.enabled and tls.require_client_certificate,
        addresses=addresses.of,
        is_revoked=is_revoked,
    )


def _known_peer(peer: PeerSettings) -> KnownPeer:
    return KnownPeer(
        services=frozenset(Service(name) for name in peer.allow),
        host=peer.host if peer.is_host_checked else None,
        usual_host=peer.host,
        answers=AnswerRules(max_matches=peer.max_matches, character_set=peer.character_set),
        default_character_set=peer.default_character_set or "",
        certificates=peer.certificate,
        move_to=_titles(peer.move_to),
    )


def _titles(ae_titles: tuple[str, ...] | None) -> frozenset[str] | None:
    return None if ae_titles is None else frozenset(ae_titles)
