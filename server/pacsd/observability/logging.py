"""One log for our lines and the libraries': an event name that never changes, and facts as keywords.

`structlog.get_logger()` is for the daemon; the engine and the libraries log with the standard library and
come out in the same form. What a connection's thread binds with `structlog.contextvars` (the association's
id) stands on all lines of that thread, the engine's too.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Mapping, MutableMapping
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, Final, TextIO

import structlog

from pacsd.observability.log_output import LogLines, LogOutput
from pacsd.observability.repeats import Repeats

if TYPE_CHECKING:
    from types import TracebackType

    from structlog.typing import Processor

    from pacsd.settings import LogSettings

__all__ = [
    "WITHHELD",
    "configure_logging",
    "configure_server_logging",
    "drain_logs",
    "end_logs",
    "tell_repeats",
    "withhold_patient_data",
]

WITHHELD: Final = "(withheld)"

_PATIENT_KEYS: Final = frozenset(
    {
        "accessionnumber",
        "birthdate",
        "dataset",
        "dob",
        "identifier",
        "issuerofpatientid",
        "medicalrecordlocator",
        "mrn",
    }
)
_PATIENT_PREFIXES: Final = ("patient", "otherpatient", "responsibleperson", "referringphysician")
_LIBRARIES_THAT_QUOTE_VALUES: Final = ("pydicom", "py.warnings")


_repeats: Final = Repeats()


def configure_logging(log: LogSettings, stream: TextIO | None = None) -> None:
    """Send all log lines to `stream` (standard error) as `log` says; may be called again to change that.

    Forked processes inherit it. Without `log.patient_data`, facts that may name a patient are withheld, and
    so are the warnings of pydicom, which quote the values they are about.
    """
    stream = sys.stderr if stream is None else stream
    _configure(log, logging.StreamHandler(stream), is_terminal=stream.isatty())


def configure_server_logging(log: LogSettings, output: LogOutput) -> None:
    """As `configure_logging`, for a server: nobody who reads the log can hold it up, and no thread ends in silence.

    Lines that a peer can provoke without end are limited; see `tell_repeats`.
    """
    handler = LogLines(output)
    _configure(log, handler, is_terminal=output.is_terminal)
    output.describe_dropped = partial(_describe_dropped, handler)
    sys.excepthook = _log_failed_process
    threading.excepthook = _log_failed_thread
    sys.unraisablehook = _log_unraisable


def _describe_dropped(handler: logging.Handler, count: int) -> bytes:
    facts = {"name": __name__, "levelno": logging.ERROR, "levelname": "ERROR", "msg": "log-lines-dropped"}
    return f"{handler.format(logging.makeLogRecord({**facts, 'count': count}))}\n".encode()


def _log_failed_thread(failed: threading.ExceptHookArgs) -> None:
    """Python's own way would write to standard error, however long that takes."""
    if failed.exc_value is not None and not isinstance(failed.exc_value, SystemExit):
        name = failed.thread.name if failed.thread else ""
        structlog.get_logger().error("thread-failed", thread=name, exc_info=failed.exc_value)


def _log_failed_process(
    kind: type[BaseException], error: BaseException, traceback: TracebackType | None
) -> None:
    structlog.get_logger().critical("process-failed", exc_info=(kind, error, traceback))


def _log_unraisable(failed: sys.UnraisableHookArgs) -> None:
    structlog.get_logger().error("error-ignored", where=repr(failed.object), exc_info=failed.exc_value)


def drain_logs() -> None:
    """Write the lines that could not be written before; for a process that has no thread to do so."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, LogLines):
            handler.output.drain()


def tell_repeats() -> None:
    """Log, for each kind once a minute, how often lines were left out because they said the same as others."""
    _repeats.tell()


def end_logs() -> None:
    """Log what is still to be said, and wait a moment for it to be written: before a process ends."""
    _repeats.tell(all_of_them=True)
    for handler in logging.getLogger().handlers:
        handler.flush()


def _configure(log: LogSettings, handler: logging.Handler, *, is_terminal: bool) -> None:
    level = logging.getLevelNamesMapping()[log.level.upper()]
    facts = _facts(log)
    structlog.configure(
        processors=[
            facts[0],
            *([_repeats] if isinstance(handler, LogLines) else []),
            *facts[1:],
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.stdlib.LoggerFactory(),
        # A reload may change the level: loggers that were made before have to take it up.
        cache_logger_on_first_use=False,
    )
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.ExtraAdder(), *facts],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *_rendering(log, is_terminal=is_terminal),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    logging.captureWarnings(capture=True)
    logging.getLogger("alembic").setLevel(
        max(root.level, logging.WARNING)
    )  # it tells how it works, not what it did
    for name in _LIBRARIES_THAT_QUOTE_VALUES:
        logging.getLogger(name).setLevel(logging.NOTSET if log.patient_data else logging.CRITICAL + 1)


def withhold_patient_data(
    logger: object, method_name: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """Replace the values of keys that may hold patient data, at any depth (a structlog processor)."""
    del logger, method_name
    for key, value in event.items():
        event[key] = _withheld(key, value)
    return event


def _facts(log: LogSettings) -> list[Processor]:
    facts: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        _add_process,
    ]
    return facts if log.patient_data else [*facts, withhold_patient_data]


def _add_process(
    logger: object, method_name: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    del logger, method_name
    event["process"] = os.getpid()
    return event


_OUR_OWN_LINES: Final = ("exception", "stack")


def _rendering(log: LogSettings, *, is_terminal: bool) -> list[Processor]:
    if log.format == "json":
        return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    # Not the renderer's own choice of traceback, which shows local variables: data sets among them.
    plain = structlog.dev.plain_traceback
    return [
        _escape_control_characters,
        structlog.dev.ConsoleRenderer(colors=is_terminal, exception_formatter=plain),
    ]


def _escape_control_characters(
    logger: object, method_name: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """Show what a terminal would obey: an AE title or UID of a peer's may hold escape sequences or line ends."""
    del logger, method_name
    for key, value in event.items():
        if isinstance(value, str) and not value.isprintable() and key not in _OUR_OWN_LINES:
            event[key] = "".join(c if c.isprintable() else repr(c)[1:-1] for c in value)
    return event


def _withheld(key: object, value: object) -> object:
    if _may_name_patient(str(key)):
        return WITHHELD
    if isinstance(value, Mapping):
        return {inner: _withheld(inner, element) for inner, element in value.items()}
    if isinstance(value, (list, tuple)):
        return (
            type(value)(_withheld("", element) for element in value)
            if type(value) in {list, tuple}
            else value
        )
    return value


@lru_cache(maxsize=1024)
def _may_name_patient(key: str) -> bool:
    name = key.lower().replace("_", "").replace("-", "").replace(" ", "")
    return name in _PATIENT_KEYS or name.startswith(_PATIENT_PREFIXES)
