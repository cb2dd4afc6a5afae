"""All of the daemon's metrics, declared once; whoever counts gets `Metrics`' methods as plain callables.

The processes share their numbers through files, one set for each process slot (`share_between_processes`).
Labels are bounded: a calling AE title is a label only where it is a configured peer's.
"""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest, values
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.registry import Collector

import pacsd
from pacsd.model import CommitOutcome, Service

if TYPE_CHECKING:
    from collections.abc import Iterable

    from prometheus_client import Metric

__all__ = ["CONTENT_TYPE", "Metrics", "forget_process", "join_as", "share_between_processes", "status_label"]

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
OTHER: Final = "other"
OPERATION_SECONDS: Final = (
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1,
    2.5,
    5,
    10,
    30,
    60,
    300,
)
COMMIT_SECONDS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)
DAMAGE_NOTICED: Final = ("retrieve", "store", "scrub")
"""By what damage may be noticed."""
STORE_FAILURES: Final = ("0110", "0111", "0122", "0124", "A7xx", "A9xx", "Cxxx")
"""Labels of the statuses with which a C-STORE of ours may fail."""
DECODER_LOSSES: Final = ("timeout", "crashed", "memory", "wrong-answer", "cancelled", "other")
"""Why a decoder may have to be replaced, see `decoder.pool.Loss`."""
COMMIT_INSTANCES: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256)

_DIRECTORY_VARIABLE: Final = "PROMETHEUS_MULTIPROC_DIR"
_process: dict[str, str] = {"slot": "main"}


class _AllProcesses(Collector):
    """Reads the numbers of all processes."""

    def collect(self) -> Iterable[Metric]:
        # A file is empty for a moment when its process counts for the first time; the library takes that for damage.
        files = [path for path in Path(os.environ[_DIRECTORY_VARIABLE]).glob("*.db") if _has_content(path)]
        merged: Iterable[Metric] = MultiProcessCollector.merge(map(str, files))  # type: ignore[no-untyped-call]
        return merged


def _has_content(path: Path) -> bool:
    try:
        return path.stat().st_size > 0
    except FileNotFoundError:
        return False  # a dead process's numbers that were of the living


def share_between_processes(directory: Path) -> None:
    """Keep the numbers in files in `directory` (empty, of this server alone) instead of in memory.

    To be called once, before any `Metrics` is made and before the first fork.
    """
    os.environ[_DIRECTORY_VARIABLE] = str(directory)
    values.ValueClass = values.MultiProcessValue(lambda: _process["slot"])  # type: ignore[no-untyped-call]


def join_as(slot: str) -> None:
    """Count under `slot` from here on: the first call of a forked process.

    No two living processes may have the same slot. One that takes over a dead one's goes on with its
    counters, so that the files do not become more with each replacement.
    """
    _process["slot"] = slot


def forget_process(slot: str) -> None:
    """Take back what only a living process has, such as open associations; the one in `slot` is dead."""
    if _DIRECTORY_VARIABLE in os.environ:
        mark_process_dead(slot)  # type: ignore[no-untyped-call]


def status_label(status: int) -> str:
    """A DIMSE status as a label: four hex digits, the freely chosen ones of a class as `x` (PS3.7 Annex C).

    So the peer, who sends what it likes, cannot make more than a few dozen of them.
    """
    if status in {0x0000, 0x0001, 0x0107, 0x0116, 0xFE00, 0xFF00, 0xFF01} or 0x0105 <= status <= 0x0124:
        return f"{status:04X}"
    if 0x0210 <= status <= 0x0213:
        return f"{status:04X}"
    if 0xA000 <= status <= 0xAFFF:
        return f"{status >> 8:02X}xx"
    if 0xB000 <= status <= 0xCFFF:
        return f"{status >> 12:X}xxx"
    return OTHER


class Metrics:
    """The counters. Every method is safe to call from any thread, and none of them raises."""

    def __init__(self, peers: Iterable[str] = ()) -> None:
        self.peers: frozenset[str] = frozenset(peers)
        """AE titles that may be labels; all others count as `other`. Replaced when the configuration is."""
        self._registry = registry = CollectorRegistry()
        self._open = Gauge(
            "pacsd_associations_open",
            "Associations open now",
            registry=registry,
            multiprocess_mode="livesum",
        )
        self._limit = Gauge(
            "pacsd_associations_limit",
            "Associations that may be open at the same time, dicom.max_associations",
            registry=registry,
            multiprocess_mode="mostrecent",
        )
        self._accepted = Counter(
            "pacsd_associations_accepted", "Associations accepted", ["peer"], registry=registry
        )
        self._rejected = Counter(
            "pacsd_associations_rejected", "Associations rejected", ["peer", "reason"], registry=registry
        )
        self._limits_exceeded = Counter(
            "pacsd_limits_exceeded",
            "Times that somebody was refused, or lost a connection, because of a limit",
            ["limit"],
            registry=registry,
        )
        self._released = Counter(
            "pacsd_associations_released", "Associations ended by A-RELEASE", ["peer"], registry=registry
        )
        self._aborted = Counter(
            "pacsd_associations_aborted",
            "Associations ended otherwise; source says by whom or what",
            ["peer", "source"],
            registry=registry,
        )
        self._operations = Counter(
            "pacsd_operations",
            "DIMSE operations performed, by final status",
            ["service", "status", "peer"],
            registry=registry,
        )
        self._operation_seconds = Histogram(
            "pacsd_operation_duration_seconds",
            "From a DIMSE request to its final response",
            ["service"],
            registry=registry,
            buckets=OPERATION_SECONDS,
        )
        self._received = Counter("pacsd_received_bytes", "Bytes received over DICOM", registry=registry)
        self._sent = Counter("pacsd_sent_bytes", "Bytes sent over DICOM", registry=registry)
        self._instances = Counter(
            "pacsd_instances_received",
            "Instances received, by what became of them",
            ["outcome"],
            registry=registry,
        )
        self._differences = Counter(
            "pacsd_demographics_differences",
            "Studies received whose patient was not as the index had it, by what was kept",
            ["kept"],
            registry=registry,
        )
        self._conflicts = Counter(
            "pacsd_study_conflicts",
            "Times that a patient came to a study that had another one already",
            registry=registry,
        )
        self._attribute_conflicts = Counter(
            "pacsd_attribute_conflicts",
            "Attributes on which objects of one study or series came to disagree, by level",
            ["level"],
            registry=registry,
        )
        self._damaged = Counter(
            "pacsd_damaged_instances",
            "Times that a kept file was missing, damaged or unreadable, by what noticed it",
            ["noticed"],
            registry=registry,
        )
        self._quarantined = Gauge(
            "pacsd_quarantined_files",
            "Files that were taken out of service and wait for somebody to look at them",
            registry=registry,
            multiprocess_mode="mostrecent",
        )
        self._index_complete = Gauge(
            "pacsd_index_complete",
            "1 when the index knows all stored files, 0 while it is being completed",
            registry=registry,
            multiprocess_mode="mostrecent",
        )
        self._scrubbed = Gauge(
            "pacsd_scrub_completed_timestamp_seconds",
            "When the last scrub of all files came to its end, or the first one began",
            registry=registry,
            multiprocess_mode="mostrecent",
        )
        self._commit_instances = Histogram(
            "pacsd_commit_instances",
            "Instances in one group commit",
            registry=registry,
            buckets=COMMIT_INSTANCES,
        )
        self._commit_seconds = Histogram(
            "pacsd_commit_duration_seconds",
            "Time of one group commit",
            registry=registry,
            buckets=COMMIT_SECONDS,
        )
        self._database_wait = Histogram(
            "pacsd_database_wait_seconds",
            "Time waited for the database's turn or a connection",
            registry=registry,
            buckets=COMMIT_SECONDS,
        )
        self._free = Gauge(
            "pacsd_storage_free_bytes",
            "Free space of the store's file system",
            registry=registry,
            multiprocess_mode="mostrecent",
        )
        self._free_inodes = Gauge(
            "pacsd_storage_free_inodes",
            "Files that the store's file system can still take; +Inf where it sets no limit",
            registry=registry,
            multiprocess_mode="mostrecent",
        )
        self._index_free = Gauge(
            "pacsd_index_free_bytes",
            "Free space of the file system that an SQLite index is on; +Inf for PostgreSQL",
            registry=registry,
            multiprocess_mode="mostrecent",
        )
        self._index_free_inodes = Gauge(
            "pacsd_index_free_inodes",
            "As pacsd_storage_free_inodes, of the file system that an SQLite index is on",
            registry=registry,
            multiprocess_mode="mostrecent",
        )
        self._index_wal = Gauge(
            "pacsd_index_wal_bytes",
            "Length of an SQLite index's write-ahead log",
            registry=registry,
            multiprocess_mode="mostrecent",
        )
        self._ready = Gauge(
            "pacsd_ready",
            "1 where a check of /readyz is passed, 0 where it is not",
            ["check"],
            registry=registry,
            multiprocess_mode="mostrecent",
        )
        self._standstill = Gauge(
            "pacsd_standstill_seconds",
            "For how long a part of a process has shown no progress, the longest of all",
            ["role", "part"],
            registry=registry,
            multiprocess_mode="mostrecent",
        )
        self._restart_delay = Gauge(
            "pacsd_restart_delay_seconds",
            "The longest that the replacement of a dead process is put off now; 0 where none is",
            registry=registry,
            multiprocess_mode="mostrecent",
        )
        self._log_dropped = Counter(
            "pacsd_log_lines_dropped",
            "Log lines that nobody took in time",
            registry=registry,
        )
        self._restarts = Counter(
            "pacsd_worker_restarts", "Processes that died and were replaced", registry=registry
        )
        self._decoders = Counter(
            "pacsd_decoders_replaced",
            "Decoder processes that were killed or ended, by why",
            ["reason"],
            registry=registry,
        )
        self._build = Gauge(
            "pacsd_build_info",
            "1, labelled with the version",
            ["version"],
            registry=registry,
            multiprocess_mode="max",
        )
        self._build.labels(pacsd.__version__).set(1)
        # With each C-STORE: to look them up takes longer than to count.
        self._of_operation = lru_cache(maxsize=1024)(self._look_up_operation)
        self._of_outcome = lru_cache(maxsize=16)(self._instances.labels)
        self.count_from_nought([OTHER, *self.peers])

    def count_from_nought(self, peers: Iterable[str]) -> None:
        """Begin the failures of these peers' stores at 0, and whatever else an alert asks any increase of.

        A series that begins with its first event, or with its first ten, has no increase that Prometheus could see.
        """
        for noticed in DAMAGE_NOTICED:
            self._damaged.labels(noticed)
        for outcome in CommitOutcome:
            self._instances.labels(outcome.value)
        for reason in DECODER_LOSSES:
            self._decoders.labels(reason)
        for peer in peers:
            for status in STORE_FAILURES:
                self._operations.labels(Service.STORE.dimse_name, status, peer)

    def association_accepted(self, peer: str) -> None:
        """An association of `peer` (calling AE title) is established: open until released or aborted."""
        self._accepted.labels(self._peer(peer)).inc()
        self._open.inc()

    def association_rejected(self, reason: str, peer: str = "") -> None:
        """An association was refused; `reason` is one of the caller's few constant phrases."""
        self._rejected.labels(self._peer(peer), reason).inc()

    def limit_exceeded(self, limit: str) -> None:
        """A caller has met a limit; `limit` is one of the callers' few constant names."""
        self._limits_exceeded.labels(limit).inc()

    def association_released(self, peer: str) -> None:
        """An open association ended in good order."""
        self._released.labels(self._peer(peer)).inc()
        self._open.dec()

    def association_aborted(self, peer: str, source: str) -> None:
        """An open association ended otherwise; `source` is one of the caller's few constant words."""
        self._aborted.labels(self._peer(peer), source).inc()
        self._open.dec()

    def operation(self, service: Service, status: int, seconds: float, peer: str) -> None:
        """A DIMSE operation is over, with its final status."""
        operations, operation_seconds = self._of_operation(service.dimse_name, status, self._peer(peer))
        operations.inc()
        operation_seconds.observe(seconds)

    def _look_up_operation(self, service: str, status: int, peer: str) -> tuple[Counter, Histogram]:
        operations = self._operations.labels(service, status_label(status), peer)
        return operations, self._operation_seconds.labels(service)

    def bytes_received(self, count: int) -> None:
        """Bytes came over DICOM; per read or summed up, as is cheaper."""
        self._received.inc(count)

    def bytes_sent(self, count: int) -> None:
        """Bytes went over DICOM."""
        self._sent.inc(count)

    def commit_batch(self, size: int, seconds: float) -> None:
        """One group commit of `size` instances is done."""
        self._commit_instances.observe(size)
        self._commit_seconds.observe(seconds)

    def database_wait(self, seconds: float) -> None:
        """Somebody had to wait for the database's turn or for a connection."""
        self._database_wait.observe(seconds)

    def instance_stored(self, outcome: CommitOutcome) -> None:
        """An instance was received."""
        self._of_outcome(outcome.value).inc()

    def demographics_differ(self, kept: str) -> None:
        """Instances disagree on their patient; `kept` is a `DemographicsPolicy`'s value."""
        self._differences.labels(kept).inc()

    def study_conflict(self) -> None:
        """A study has objects of one more patient."""
        self._conflicts.inc()

    def attribute_conflict(self, level: str, count: int) -> None:
        """Objects of a study or series disagree on so many more attributes; `level` is "study" or "series"."""
        self._attribute_conflicts.labels(level).inc(count)

    def instance_damaged(self, noticed: str) -> None:
        """A kept file is missing, damaged or unreadable; `noticed` is one of `DAMAGE_NOTICED`."""
        self._damaged.labels(noticed).inc()

    def quarantined(self, count: int) -> None:
        """So many files are in quarantine now."""
        self._quarantined.set(count)

    def index_complete(self, *, is_complete: bool) -> None:
        """Whether the index knows all stored files now."""
        self._index_complete.set(int(is_complete))

    def scrubbed(self, timestamp: float) -> None:
        """The last scrub ended at this moment, seconds since 1970; without one, the first began then."""
        self._scrubbed.set(timestamp)

    def storage_free(self, count: int) -> None:
        """Bytes free for the store now."""
        self._free.set(count)

    def storage_free_inodes(self, count: float) -> None:
        """Files that the store's file system can still take."""
        self._free_inodes.set(count)

    def index_free(self, count: float, inodes: float) -> None:
        """Bytes and files that the index's file system can still take."""
        self._index_free.set(count)
        self._index_free_inodes.set(inodes)

    def index_wal(self, count: int) -> None:
        """The write-ahead log is so long now, in bytes."""
        self._index_wal.set(count)

    def ready(self, check: str, *, is_passed: bool) -> None:
        """Whether a check of /readyz was passed just now."""
        self._ready.labels(check).set(int(is_passed))

    def standstill(self, role: str, part: str, seconds: float) -> None:
        """For so long a part of a process of this role has shown no progress."""
        self._standstill.labels(role, part).set(seconds)

    def restart_delayed(self, seconds: float) -> None:
        """The longest that a process which is to be started has to wait, in seconds; 0: there is none."""
        self._restart_delay.set(seconds)

    def log_lines_dropped(self, count: int) -> None:
        """So many log lines were dropped just now."""
        self._log_dropped.inc(count)

    def associations_limit(self, count: int) -> None:
        """Associations that may be open now."""
        self._limit.set(count)

    def worker_restarted(self) -> None:
        """The supervisor replaced a process that died."""
        self._restarts.inc()

    def decoder_replaced(self, reason: str) -> None:
        """A decoder process is lost; `reason` is one of `DECODER_LOSSES`."""
        self._decoders.labels(reason).inc()

    def render(self) -> bytes:
        """The numbers of all processes in Prometheus' text format, `CONTENT_TYPE`."""
        if _DIRECTORY_VARIABLE not in os.environ:
            return generate_latest(self._registry)
        gathered = CollectorRegistry()
        gathered.register(_AllProcesses())
        return generate_latest(gathered)

    def _peer(self, ae_title: str) -> str:
        return ae_title if ae_title in self.peers else OTHER
