"""What a log line looks like, whoever wrote it, and what it never holds."""

from __future__ import annotations

import io
import json
import logging
import os
import threading
import warnings
from typing import TYPE_CHECKING, Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from pacsd.observability.logging import WITHHELD, configure_logging, withhold_patient_data
from pacsd.settings import LogSettings

if TYPE_CHECKING:
    from collections.abc import Iterator

PATIENT = "Muster^Erika"


@pytest.fixture(autouse=True)
def _restored_logging() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    shown = warnings.showwarning
    yield
    logging.captureWarnings(capture=False)
    warnings.showwarning = shown
    root.handlers, root.level = handlers, level
    for name in ("pydicom", "py.warnings"):
        logging.getLogger(name).setLevel(logging.NOTSET)
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


def _json(**settings: Any) -> io.StringIO:
    stream = io.StringIO()
    configure_logging(LogSettings(format="json", **settings), stream)
    return stream


def _lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_our_lines_and_the_engines_have_one_form() -> None:
    stream = _json()
    structlog.get_logger("pacsd.scp").info("association-accepted", calling_ae_title="CT1")
    logging.getLogger("dicomnet.net").warning("peer sent %d bytes too many", 7, extra={"limit": 5})
    ours, engines = _lines(stream)
    assert ours["event"] == "association-accepted"
    assert ours["calling_ae_title"] == "CT1"
    assert (ours["level"], ours["logger"]) == ("info", "pacsd.scp")
    assert engines["event"] == "peer sent 7 bytes too many"
    assert (engines["level"], engines["logger"], engines["limit"]) == ("warning", "dicomnet.net", 5)
    assert ours["process"] == engines["process"] == os.getpid()
    assert set(ours) - {"calling_ae_title"} == set(engines) - {"limit"}


def test_the_association_is_bound_once_for_a_connections_thread() -> None:
    stream = _json()

    def connection(association: str) -> None:
        structlog.contextvars.bind_contextvars(association=association)
        structlog.get_logger().info("ours")
        logging.getLogger("dicomnet").info("the engine's")

    for name in ("a1", "a2"):
        thread = threading.Thread(target=connection, args=(name,))
        thread.start()
        thread.join()
    structlog.get_logger().info("elsewhere")
    assert [line.get("association") for line in _lines(stream)] == ["a1", "a1", "a2", "a2", None]


@pytest.mark.parametrize(
    "key",
    ["patient_name", "PatientID", "patient_birth_date", "birth_date", "OtherPatientIDs", "accession_number"],
)
def test_facts_about_patients_are_withheld(key: str) -> None:
    stream = _json()
    structlog.get_logger().info("instance-stored", **{key: PATIENT}, nested={"list": [{key: PATIENT}]})
    logging.getLogger("dicomnet").info("stored", extra={key: PATIENT})
    assert PATIENT not in stream.getvalue()
    ours, engines = _lines(stream)
    assert ours[key] == engines[key] == ours["nested"]["list"][0][key] == WITHHELD


def test_they_are_told_when_switched_on() -> None:
    stream = _json(patient_data=True)
    structlog.get_logger().info("instance-stored", patient_name=PATIENT)
    assert _lines(stream)[0]["patient_name"] == PATIENT


@pytest.mark.parametrize(("patient_data", "told"), [(False, 0), (True, 2)])
def test_warnings_that_quote_values_are_withheld(patient_data: bool, told: int) -> None:
    stream = _json(patient_data=patient_data)
    logging.getLogger("pydicom").warning("invalid value %r", PATIENT)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(capture=False)
        logging.captureWarnings(capture=True)
        warnings.warn(f"invalid value {PATIENT!r}", UserWarning, stacklevel=1)
        logging.captureWarnings(capture=False)
    assert stream.getvalue().count(PATIENT) == told


@pytest.mark.parametrize("form", ["json", "console"])
def test_a_traceback_shows_no_local_variables(form: str) -> None:
    stream = io.StringIO()
    configure_logging(LogSettings(format=form), stream)  # type: ignore[arg-type]
    patient_name = PATIENT
    try:
        int(str(len(patient_name)) + "?")
    except ValueError:
        structlog.get_logger().exception("connection-failed")
    assert "ValueError: invalid literal" in stream.getvalue()
    assert PATIENT not in stream.getvalue()


def test_the_level_may_change_for_loggers_that_exist() -> None:
    logger = structlog.get_logger()
    first = _json(level="warning")
    logger.info("not-told")
    logging.getLogger("dicomnet").info("not told")
    assert first.getvalue() == ""
    second = _json(level="info")
    logger.info("told")
    assert [line["event"] for line in _lines(second)] == ["told"]
    assert first.getvalue() == "", "the first handler is gone"


def test_console_lines_are_for_people() -> None:
    stream = io.StringIO()
    configure_logging(LogSettings(), stream)
    structlog.get_logger().info("server-started", workers=2)
    assert "server-started" in stream.getvalue()
    assert "workers=2" in stream.getvalue()
    assert "\x1b" not in stream.getvalue(), "no colours where nobody sees them"


_names = st.text(alphabet="xyz_-ß", max_size=5)
_values = st.recursive(
    st.text(max_size=5) | st.integers() | st.none(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_names, inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(_names, _values, max_size=4))
def test_other_facts_stay_as_they_are(facts: dict[str, Any]) -> None:
    assert withhold_patient_data(None, "", json.loads(json.dumps(facts))) == facts
