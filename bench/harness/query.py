"""C-FIND on an association: requests encoded beforehand, answers counted, or kept."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from pydicom.dataset import Dataset

from harness import wire
from harness.association import CALLING, Association
from harness.errors import WireError
from harness.instances import Instance
from harness.report import Row, percentile
from harness.server import Server
from harness.templates import encode

PDU = 131072
FIGURES = (
    "qps",
    "responses_s",
    "p50_ms",
    "p99_ms",
    "first_ms",
    "cpu_ms_per_query",
    "matches_per_query",
)
"""Of what is measured of a sort of query, those whose medians are reported."""
ANSWER_COLUMNS = (
    ("responses_s", "responses/s"),
    ("p50_ms", "p50 ms"),
    ("p99_ms", "p99 ms"),
    ("first_ms", "first ms"),
    ("cpu_ms_per_query", "CPU ms/query"),
    ("matches_per_query", "matches"),
    ("match_count", "match count"),
)
"""Of a table, behind the rate of queries."""
IMAGE_KEYS = ("SOPInstanceUID", "InstanceNumber")


class Found(NamedTuple):
    """What a C-FIND brought."""

    matches: int
    status: int
    """Of the final response."""
    first: float
    """When the first response came, as `time.perf_counter` tells the time."""
    kept: list[bytes]
    """The identifiers, where they were to be kept."""


def identifier(level: str, keys: Sequence[str] = (), **match: str) -> bytes:
    """Return an encoded identifier: keys to be returned, and keys to be matched."""
    dataset = Dataset()
    dataset.QueryRetrieveLevel = level
    for keyword, value in (dict.fromkeys(keys, "") | match).items():
        setattr(dataset, keyword, value)
    return encode(dataset)


def open_find(server: Server, timeout: float = 60.0) -> Association:
    """Return an association for C-FIND, Study Root."""
    contexts = [(1, wire.STUDY_FIND, [wire.IMPLICIT_LE])]
    return Association(server.port, wire.associate_rq(server.aet, CALLING, contexts), timeout)


def find_request(association: Association, content: bytes) -> bytes:
    """Return a C-FIND-RQ with this identifier."""
    return wire.query_rq(wire.STUDY_FIND, wire.C_FIND_RQ, content, association.send_limit(PDU))


def run_find(association: Association, request: bytes, *, keep: bool = False) -> Found:
    """Ask, and read all responses."""
    association.socket.sendall(request)
    matches, first, kept, part = 0, 0.0, [], b""
    for _context_id, command, last, fragment in association.reader.messages():
        if command is None:
            if keep:
                part += fragment
                if last:
                    kept.append(part)
                    part = b""
            continue
        first = first or time.perf_counter()
        if (status := wire.u16(command[0x0900])) not in wire.PENDING:
            return Found(matches, status, first, kept)
        matches += 1
    raise WireError("no final response")


def is_found(association: Association, instance: Instance) -> bool:
    """Whether a query for one instance finds it."""
    content = identifier("IMAGE", ("InstanceNumber",), **unique_keys(instance))
    found = run_find(association, find_request(association, content))
    return found.matches > 0 and found.status == 0


def unique_keys(instance: Instance) -> dict[str, str]:
    """Return the unique keys of an instance and the levels above."""
    return {
        "StudyInstanceUID": instance.study,
        "SeriesInstanceUID": instance.series,
        "SOPInstanceUID": instance.sop,
    }


def missing_in_index(server: Server, instances: Sequence[Instance], acknowledged: set[str]) -> int:
    """Return how many acknowledged instances a C-FIND for each series does not return."""
    by_series: dict[tuple[str, str], list[str]] = {}
    for instance in instances:
        if instance.sop in acknowledged:
            by_series.setdefault((instance.study, instance.series), []).append(instance.sop)
    association, missing = open_find(server), 0
    try:
        for (study, series), uids in by_series.items():
            content = identifier("IMAGE", IMAGE_KEYS, StudyInstanceUID=study, SeriesInstanceUID=series)
            found = b"".join(run_find(association, find_request(association, content), keep=True).kept)
            missing += sum(uid.encode() not in found for uid in uids)
    finally:
        association.release()
    return missing


def measure(
    server: Server, queries: Mapping[str, Sequence[tuple[bytes, int]]], max_seconds: float
) -> dict[str, Row]:
    """Return the figures of each sort of query; the items are identifiers with the matches to expect."""
    found: dict[str, Row] = {}
    for name, items in queries.items():
        row = found[name] = {"queries": 0, "wrong": [], "failures": []}
        try:
            association = open_find(server)
        except (OSError, WireError) as error:
            row["failures"].append(str(error))
            continue
        try:
            _measure_one(server, association, items, max_seconds, row)
            association.release()
        except (OSError, WireError) as error:
            row["failures"].append(str(error))
            association.abort()
    return found


def _measure_one(
    server: Server,
    association: Association,
    items: Sequence[tuple[bytes, int]],
    max_seconds: float,
    row: Row,
    max_count: int = 2000,
) -> None:
    ready = [(find_request(association, content), expected) for content, expected in items]
    run_find(association, ready[0][0])  # warm
    latencies: list[float] = []
    first: list[float] = []
    responses = 0
    cpu, start = server.cpu(), time.perf_counter()
    while len(latencies) < max_count and (before := time.perf_counter()) - start < max_seconds:
        request, expected = ready[len(latencies) % len(ready)]
        answer = run_find(association, request)
        latencies.append(time.perf_counter() - before)
        first.append(answer.first - before)
        responses += answer.matches
        if answer.status and len(row["failures"]) < 3:
            row["failures"].append(f"status 0x{answer.status:04X}")
        if answer.matches != expected and len(row["wrong"]) < 3:
            row["wrong"].append(f"{answer.matches} not {expected}")
    elapsed, count = time.perf_counter() - start, len(latencies)
    row |= {
        "queries": count,
        "qps": round(count / elapsed, 2),
        "responses_s": round(responses / elapsed, 1),
        "matches_per_query": round(responses / count, 1),
        "p50_ms": round(percentile(latencies, 0.5) * 1e3, 3),
        "p99_ms": round(percentile(latencies, 0.99) * 1e3, 3),
        "first_ms": round(percentile(first, 0.5) * 1e3, 3),
        "cpu_ms_per_query": round((server.cpu() - cpu) / count * 1e3, 3),
    }
