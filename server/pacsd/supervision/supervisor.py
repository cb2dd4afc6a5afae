"""The first process: it opens the sockets, forks the workers, replaces them, reloads and stops them.

It has one thread and never does a worker's job, so that it can fork at any time. It sleeps until a signal, and wakes
each second to look whether its processes still show signs of life.
"""

from __future__ import annotations

import contextlib
import gc
import math
import os
import signal
import sys
import threading
import time
from typing import TYPE_CHECKING, Final, NamedTuple

import structlog

from pacsd.configuration import load_settings
from pacsd.errors import ConfigurationError, PacsdError
from pacsd.index.database.engines import database_file, database_url
from pacsd.index.schema import migrations
from pacsd.observability.log_output import LogOutput
from pacsd.observability.logging import configure_server_logging, drain_logs, end_logs
from pacsd.observability.metrics import share_between_processes
from pacsd.observability.metrics_directory import metrics_directory
from pacsd.ownership import lock_files, own
from pacsd.permissions import keep_private
from pacsd.supervision.backoff import Backoff
from pacsd.supervision.child_process import SUPERVISED_SIGNALS, Child, describe_exit
from pacsd.supervision.configuration_reload import keep_what_needs_a_restart
from pacsd.supervision.listeners import open_sockets
from pacsd.supervision.open_files import allow_open_files
from pacsd.supervision.processes import Processes
from pacsd.supervision.service_manager import ServiceManager
from pacsd.supervision.shared_numbers import WorkerState
from pacsd.supervision.signals import SignalQueue
from pacsd.supervision.signs_of_life import SUPERVISOR
from pacsd.supervision.worker import settings_file

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path
    from types import FrameType

    from pacsd.model import ArchiveIdentity
    from pacsd.settings import Settings
    from pacsd.supervision.process_role import ProcessRole

__all__ = ["START_ANEW", "Supervisor", "serve"]

START_ANEW: Final = 75
"""An exit status: the same program is to be started again, at once and in the same process."""

GRACE_SECONDS: Final = 5.0
"""For a worker to abort what is left at its deadline and to flush, before it is killed."""
HURRY_SECONDS: Final = 2.0
"""What is left after a second SIGTERM."""
READY_POLL_SECONDS: Final = 0.05
"""Between looks whether the workers of a reload are ready; they say so in shared memory."""

NOBODY_SERVES_SECONDS: Final = 1.0
"""After which a worker that has served is replaced at the latest, where no other one is there."""
READ_ONLY_SECONDS: Final = 3.0
"""Between looks whether a disk that took nothing takes something again."""
WATCH_SECONDS: Final = 1.0
"""Between looks at the processes' signs of life, at most."""
LOOKS: Final = 15
"""At least, in the time after which a process is called silent."""
LATE_SECONDS: Final = 5.0
"""Who wakes so much later than it meant to was not allowed to run, and neither were the others."""

_log = structlog.get_logger()


def serve(
    settings: Settings,
    *,
    roles: Sequence[ProcessRole],
    prepare: Callable[[Settings], ArchiveIdentity],
    prepare_to_read: Callable[[Settings], tuple[ArchiveIdentity, bool]] | None = None,
    why_read_only: Callable[[Settings], str] = lambda _: "",
    clear_up: Callable[[Settings, int], None] | None = None,
    reload: Callable[[], Settings] = load_settings,
) -> int:
    """Run the server until SIGTERM or SIGINT; returns the exit status, or `START_ANEW`.

    It holds the lock of the archive from before it touches anything, and so do all its processes. An SQLite database is
    brought to the newest migration; another one must have it (MigrationNeeded). Then `prepare` makes store and index
    ready and says which archive they are, for all processes to come. It runs in this process before any fork, and must
    leave no thread and no open database connection behind.
    `roles` are the kinds of processes that there are to be; `clear_up` removes what one that served associations left
    behind when it was killed, by its process id, in this process as well; `reload` reads the configuration anew at
    SIGHUP.

    Where `why_read_only` says that a disk takes nothing, `prepare_to_read` is called instead of `prepare`, and returns
    also whether answers lack nothing. Then nothing is stored, and there is no housekeeping, until the disk takes
    something again: the server ends, and asks by `START_ANEW` for another start. Where `prepare_to_read` raises a
    PacsdError, the start goes on as if the disk could be written to.
    Raises AddressUnavailable, ArchiveInUse, IndexUnavailable, and what `prepare` raises.
    """
    # Without one, its number may be that of any other file by now.
    log_output = LogOutput(sys.stderr.fileno() if sys.stderr else os.open(os.devnull, os.O_WRONLY))
    configure_server_logging(settings.log, log_output)
    keep_private(settings.server.umask)
    allow_open_files(settings.dicom.max_associations)
    with contextlib.ExitStack() as stack:
        stack.callback(end_logs)
        # As process 1 of a container, Python would not end on SIGTERM by itself.
        stack.callback(signal.signal, signal.SIGTERM, signal.signal(signal.SIGTERM, _exit_early))
        # What it is to reload is only now being read; it must not end the process either.
        stack.callback(signal.signal, signal.SIGHUP, signal.signal(signal.SIGHUP, signal.SIG_IGN))
        sockets = open_sockets(settings)
        for listening in sockets.values():
            stack.enter_context(listening)
        directory = stack.enter_context(metrics_directory())
        share_between_processes(directory)
        locks = lock_files(settings.storage.root, database_file(database_url(settings.index.url)))
        stack.enter_context(own(locks, wait=settings.server.shutdown_timeout + GRACE_SECONDS))
        read_only, to_read = _prepared_to_read(settings, prepare_to_read, why_read_only)
        if to_read is None:
            _prepare_database(settings.index.url)
            identity, is_complete = prepare(settings), False
        else:
            identity, is_complete = to_read
        supervisor = Supervisor(
            settings,
            identity,
            roles=roles,
            clear_up=clear_up,
            reload=reload,
            sockets=sockets,
            host_addresses=directory,
            log_output=log_output,
        )
        if read_only:
            supervisor.serve_read_only(read_only, why_read_only, is_complete=is_complete)
        return supervisor.run()


class _Vacancy(NamedTuple):
    """A process that is to be started."""

    due: float
    role: ProcessRole
    backoff: Backoff
    """Of those whose place it takes."""
    delay: float
    """Seconds after the last one's death."""


class Supervisor:
    """The state of one running server. Everything happens in `run`, in one thread."""

    def __init__(
        self,
        settings: Settings,
        identity: ArchiveIdentity,
        *,
        roles: Sequence[ProcessRole],
        clear_up: Callable[[Settings, int], None] | None,
        reload: Callable[[], Settings],
        sockets: Mapping[str, socket.socket],
        host_addresses: Path | None = None,
        log_output: LogOutput | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._load = reload
        self._clear_up = clear_up
        self._clock = clock
        self._signals = SignalQueue(SUPERVISED_SIGNALS)
        self._service_manager = ServiceManager()
        self._watched = clock()
        self._processes = Processes(
            roles,
            identity,
            sockets=sockets,
            host_addresses=host_addresses,
            private=self._signals.sockets,
            clock=clock,
        )
        self._vacancies: list[_Vacancy] = []
        self._reloads = 0
        self._is_reloading = False
        """The workers of the last reload are starting, and those before them go on until they are ready."""
        self._signs = self._processes.signs.begin(SUPERVISOR)
        self._signs.beat()
        if log_output is not None:
            log_output.observe_dropped = self._processes.metrics.log_lines_dropped
        self._log_output = log_output
        self._why_read_only: Callable[[Settings], str] | None = None
        self._next_look_at_disk = float("-inf")
        self._status = 0
        self._stopping = False
        self._deadline: float | None = None

    def serve_read_only(
        self, reason: str, why_read_only: Callable[[Settings], str], *, is_complete: bool
    ) -> None:
        """Have `run` store nothing, and return `START_ANEW` when `why_read_only` has nothing to say any more."""
        self._processes.read_only = reason
        self._why_read_only = why_read_only
        if is_complete:
            self._processes.note_complete()
        _log.error("archive-read-only", reason=reason, consequence="nothing is stored, queries are answered")

    def run(self) -> int:
        """Serve until told to stop; returns the exit status, or `START_ANEW`."""
        # What exists now stays as it is: the collector need not touch it, and so not copy it, in every child.
        gc.collect()
        gc.freeze()
        if threading.active_count() > 1:
            _log.error("threads-before-fork", names=[thread.name for thread in threading.enumerate()])
        with self._signals:
            self._processes.metrics.restart_delayed(0.0)
            self._start_all()
            self._log_start()
            while self._processes or not self._stopping:
                signals = self._signals.wait(self._seconds_until_due())
                for child, status in self._processes.reap():
                    self._ended(child, status)
                for number in signals:
                    self._obey(number)
                self._fill_vacancies()
                self._complete_reload()
                self._watch()
                self._enforce_deadline()
        _log.info("server-stopped")
        return self._status

    def _log_start(self) -> None:
        processes = self._processes
        _log.info(
            "server-started",
            ae_title=self._settings.dicom.ae_title,
            workers=processes.workers.wanted,
            **{section.replace(".", "_"): _address(each) for section, each in processes.sockets.items()},
        )
        _warn_of_plain_port(self._settings)

    def _seconds_until_due(self) -> float:
        """Until something is to be done without a signal."""
        due = [self._watched + self._watch_seconds, *(each.due for each in self._vacancies)]
        if self._deadline is not None:
            due.append(self._deadline)
        if self._is_reloading:
            due.append(self._clock() + READY_POLL_SECONDS)
        return max(0.0, min(due) - self._clock())

    def _obey(self, number: signal.Signals) -> None:
        if number in {signal.SIGTERM, signal.SIGINT}:
            self._stop(number.name)
        elif number == signal.SIGHUP and not self._stopping:
            self._reload()

    # --- starting and replacing

    def _start_all(self) -> None:
        roles = self._processes.roles()
        self._processes.workers.wanted = sum(
            role.count(self._settings) for role in roles if role.serves_associations
        )
        for role in roles:
            if not (role.is_alone and self._processes.of_role(role)):
                for _ in range(role.count(self._settings)):
                    self._start(role)

    def _start(self, role: ProcessRole, backoff: Backoff | None = None) -> None:
        """Start a process; `backoff` is that of those whose place it takes."""
        backoff = backoff or Backoff()
        try:
            child = self._processes.start(role, self._settings)
        except OSError as error:
            delay = backoff.longest
            self._vacancies.append(_Vacancy(self._clock() + delay, role, backoff, delay))
            reason = error.strerror
            _log.error("process-not-started", role=role.name, reason=reason, again_in_seconds=delay)
            return
        child.reload = self._reloads
        child.backoff = backoff
        _log.info("process-started", role=role.name, index=child.slot, child=child.pid)

    def _ended(self, child: Child, status: int) -> None:
        facts = {**_facts_of(child), **describe_exit(status)}
        if status:
            self._clear_up_after(child)
        if self._stopping or child.expected_to_end:
            _log.info("process-ended", **facts)
            self._stop_the_last()
            if child.role.is_alone and not self._stopping:
                self._start(child.role)
            return
        if child.reload < self._reloads and not child.role.is_alone:
            _log.error("process-died", replaced_in_seconds=None, **facts)
            return  # the one that takes its place is there, or is being started
        delay = child.backoff.delay(self._processes.lived(child))
        if child.role.serves_associations and child.has_served and not self._has_other_worker():
            # It did not die of how it was started, and who comes now would find nobody.
            delay = min(delay, NOBODY_SERVES_SECONDS)
        self._vacancies.append(_Vacancy(self._clock() + delay, child.role, child.backoff, delay))
        self._processes.metrics.worker_restarted()
        self._tell_delay()
        _log.error("process-died", replaced_in_seconds=delay, **facts)

    def _has_other_worker(self) -> bool:
        """Whether one serves, or is started soon."""
        soon = self._clock() + NOBODY_SERVES_SECONDS
        return any(not child.expected_to_end for child in self._processes.serving) or any(
            each.role.serves_associations and each.due <= soon for each in self._vacancies
        )

    def _tell_delay(self) -> None:
        self._processes.metrics.restart_delayed(max((each.delay for each in self._vacancies), default=0.0))

    def _clear_up_after(self, child: Child) -> None:
        if self._clear_up is None or not child.role.serves_associations:
            return
        try:
            self._clear_up(self._settings, child.pid)
        except (PacsdError, OSError) as error:
            # The next start does it.
            _log.error("not-cleared-up", child=child.pid, reason=str(error))
        self._processes.note_death()

    def _fill_vacancies(self) -> None:
        now = self._clock()
        due = [each for each in self._vacancies if each.due <= now]
        self._vacancies = [each for each in self._vacancies if each.due > now]
        for each in due:
            self._start(each.role, each.backoff)
        if due:
            self._tell_delay()

    # --- watching

    @property
    def _watch_seconds(self) -> float:
        of_watchdog = self._service_manager.interval or WATCH_SECONDS
        return min(WATCH_SECONDS, of_watchdog, self._settings.server.beat_timeout / LOOKS)

    def _watch(self) -> None:
        """Look whether all processes live; report who does not, and replace it when it has had its chance."""
        now, timeout = self._clock(), self._settings.server.beat_timeout
        if now < self._watched + self._watch_seconds:
            return
        signs = self._processes.signs
        if now > self._watched + self._watch_seconds + LATE_SECONDS:
            _log.warning("supervisor-woke-late", seconds=round(now - self._watched, 1))
            signs.give_grace()
        self._watched = now
        drain_logs()
        self._signs.beat()
        still = signs.standing_still(silent_after=timeout, busy_after=timeout)
        for child in self._processes.all():
            of_child = {each.part: each.seconds for each in still if each.slot == child.slot}
            self._report(child, of_child)
            if of_child.get("beat", 0.0) > 2 * timeout and not child.is_killed and not child.is_traced:
                _log.error("process-killed", reason="it shows no sign of life", **_facts_of(child))
                # Not SIGTERM, which a stopped process takes note of only when it goes on.
                child.kill()
        self._tell_service_manager(now, {each.slot for each in still if each.part == "beat"})
        self._look_at_disk(now)

    def _report(self, child: Child, still: dict[str, float]) -> None:
        for part in still.keys() - child.reported:
            event = "process-silent" if part == "beat" else "process-stands-still"
            _log.error(event, part=part, seconds=round(still[part], 1), **_facts_of(child))
        for part in child.reported - still.keys():
            _log.info("process-goes-on", part=part, **_facts_of(child))
        child.reported = set(still)

    def _tell_service_manager(self, now: float, silent: set[int]) -> None:
        workers = self._processes.workers
        ready = workers.count(WorkerState.READY)
        if 0 < workers.wanted <= ready:
            self._service_manager.say_once("READY=1")
        living = self._processes.serving
        # While there is none, one is about to be started.
        if not living or any(child.slot not in silent for child in living):
            self._service_manager.feed_watchdog(now)

    def _look_at_disk(self, now: float) -> None:
        """Where nothing can be written, look whether something can again."""
        if self._why_read_only is None or self._stopping or now < self._next_look_at_disk:
            return
        self._next_look_at_disk = now + READ_ONLY_SECONDS
        if not self._why_read_only(self._settings):
            _log.info("archive-writable-again", consequence="the server starts anew")
            self._status = START_ANEW
            self._stop("the disk can be written to again")

    # --- stopping

    def _stop(self, reason: str) -> None:
        if self._stopping:
            self._status = 0
            self._deadline = min(self._deadline or math.inf, self._clock() + HURRY_SECONDS)
            _log.warning("server-hurries", reason=reason, processes=len(self._processes))
            return
        _log.info("server-stopping", reason=reason, shutdown_timeout=self._settings.server.shutdown_timeout)
        self._stopping = True
        self._is_reloading = False
        if self._status != START_ANEW:
            self._service_manager.say_once("STOPPING=1")
        self._vacancies.clear()
        self._deadline = self._clock() + self._settings.server.shutdown_timeout + GRACE_SECONDS
        self._processes.workers.wanted = 0
        self._processes.close_sockets()
        for child in self._not_last():
            if child.role.serves_associations:
                self._processes.workers.set(child.slot, WorkerState.STOPPING)
            child.shut_down()
        self._stop_the_last()

    def _not_last(self) -> list[Child]:
        return [child for child in self._processes.all() if not child.role.ends_last]

    def _stop_the_last(self) -> None:
        """While workers drain, somebody may want to see it."""
        if self._stopping and not self._not_last():
            for child in self._processes.all():
                child.shut_down()

    def _enforce_deadline(self) -> None:
        if self._deadline is None or self._clock() < self._deadline:
            return
        for child in self._not_last() or self._processes.all():
            _log.error("process-killed", **_facts_of(child))
            child.kill()
        # Those that end last are told to stop when the others are gone, and then have a deadline of their own.
        self._deadline = self._clock() + GRACE_SECONDS

    # --- reloading

    def _reload(self) -> None:
        try:
            settings = self._load()
        except ConfigurationError as error:
            _log.error("configuration-refused", reason=str(error))
            return
        if settings.server.worker_count >= self._processes.room:
            _log.error("configuration-refused", reason="too many processes still drain from earlier reloads")
            return
        self._settings, unchanged = keep_what_needs_a_restart(self._settings, settings)
        if self._log_output is not None:
            configure_server_logging(settings.log, self._log_output)
        if unchanged:
            _log.warning("configuration-needs-restart", unchanged=unchanged)
        self._reloads += 1
        self._is_reloading = True
        self._vacancies.clear()
        self._start_all()
        self._tell_delay()

    def _complete_reload(self) -> None:
        """Retire who goes by an older configuration, once all workers that go by the new one are ready.

        Where these cannot start, the older ones go on: a reload never leaves the archive without workers.
        """
        if not self._is_reloading or self._stopping:
            return
        workers = self._processes.workers
        of_reload = [child for child in self._processes.serving if child.reload == self._reloads]
        if sum(workers.get(child.slot) == WorkerState.READY for child in of_reload) < workers.wanted:
            return
        self._is_reloading = False
        with settings_file(self._settings) as settings_fd:
            for child in self._processes.all():
                if child.reload < self._reloads:
                    self._retire(child, settings_fd)
        _warn_of_plain_port(self._settings)
        _log.info("configuration-reloaded", workers=workers.wanted)

    def _retire(self, child: Child, settings_fd: int) -> None:
        """Retire it; a worker that has retired before learns of each further change all the same."""
        if child.role.serves_associations:
            self._processes.workers.set(child.slot, WorkerState.STOPPING)
            child.retire(settings_fd)
        elif not child.expected_to_end:
            child.retire()


def _warn_of_plain_port(settings: Settings) -> None:
    """Say who gets in without the certificate that is required of everybody else."""
    tls = settings.dicom.tls
    if settings.dicom.enabled and tls.enabled and tls.require_client_certificate:
        _log.warning(
            "plain-port-needs-no-certificate",
            port=settings.dicom.port,
            unknown_peers=settings.access.unknown_peers,
            consequence="callers there that are no [[peer]] show no certificate; peers are refused",
            remedy="enabled = false below [dicom] closes this port",
        )


def _facts_of(child: Child) -> dict[str, object]:
    return {"role": child.role.name, "index": child.slot, "child": child.pid}


def _address(listening: socket.socket) -> str:
    host, port = listening.getsockname()[:2]
    return f"{host}:{port}"


def _prepared_to_read(
    settings: Settings,
    prepare_to_read: Callable[[Settings], tuple[ArchiveIdentity, bool]] | None,
    why_read_only: Callable[[Settings], str],
) -> tuple[str, tuple[ArchiveIdentity, bool] | None]:
    """Return why the server is to store nothing, and what `prepare_to_read` says; "" and None if it may store."""
    if prepare_to_read is None or not (reason := why_read_only(settings)):
        return "", None
    try:
        return reason, prepare_to_read(settings)
    except PacsdError as error:
        # The ordinary start says better what is wrong.
        _log.warning("cannot-serve-read-only", reason=str(error))
        return "", None


def _prepare_database(url: str) -> None:
    """SQLite is ours alone; a database server may have a second pacsd on it that still needs the old schema."""
    if database_file(database_url(url)) is not None:
        migrations.upgrade(url)
    else:
        migrations.check(url)


def _exit_early(signum: int, frame: FrameType | None) -> None:
    """Before there are workers, nothing needs to be drained."""
    del frame
    sys.exit(128 + signum)
