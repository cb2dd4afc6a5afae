"""What is counted, under which labels, in one process and over several."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

import pacsd
from pacsd.model import CommitOutcome, Service
from pacsd.observability.metrics import Metrics, status_label

if TYPE_CHECKING:
    from pathlib import Path


def _samples(text: bytes) -> dict[tuple[str, ...], float]:
    """Value by (name, label value, …), labels in the order of their names."""
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


@pytest.fixture
def metrics() -> Metrics:
    assert "PROMETHEUS_MULTIPROC_DIR" not in os.environ
    return Metrics(["CT1"])


def test_associations_are_open_from_accept_to_release_or_abort(metrics: Metrics) -> None:
    for _ in range(4):
        metrics.association_accepted("CT1")
    metrics.association_released("CT1")
    metrics.association_aborted("CT1", "peer")
    found = _samples(metrics.render())
    assert found["pacsd_associations_open",] == 2
    assert found["pacsd_associations_accepted_total", "CT1"] == 4
    assert found["pacsd_associations_released_total", "CT1"] == 1
    assert found["pacsd_associations_aborted_total", "CT1", "peer"] == 1


def test_what_an_alert_asks_any_increase_of_is_counted_from_nought(metrics: Metrics) -> None:
    """The alert would miss a first one that comes out of nowhere."""
    before = _samples(metrics.render())
    metrics.instance_damaged("retrieve")
    metrics.instance_stored(CommitOutcome.HEALED)
    metrics.operation(Service.STORE, 0xA900, 0.1, "CT1")
    metrics.operation(Service.STORE, 0x0110, 0.1, "MALLORY")
    after = _samples(metrics.render())
    for counted in (
        ("pacsd_damaged_instances_total", "retrieve"),
        ("pacsd_instances_received_total", "healed"),
        ("pacsd_operations_total", "CT1", "C-STORE", "A9xx"),
        ("pacsd_operations_total", "other", "C-STORE", "0110"),
    ):
        assert (before[counted], after[counted]) == (0, 1)


def test_only_configured_peers_are_labels(metrics: Metrics) -> None:
    metrics.association_accepted("MALLORY")
    metrics.association_accepted("EVE")
    metrics.association_rejected("called AE title not recognized", "EVE")
    metrics.operation(Service.ECHO, 0x0000, 0.01, "MALLORY")
    found = _samples(metrics.render())
    assert found["pacsd_associations_accepted_total", "other"] == 2
    assert found["pacsd_associations_rejected_total", "other", "called AE title not recognized"] == 1
    assert found["pacsd_operations_total", "other", "C-ECHO", "0000"] == 1
    assert not {"MALLORY", "EVE"} & {part for key in found for part in key}


def test_operations_are_counted_and_timed(metrics: Metrics) -> None:
    metrics.operation(Service.STORE, 0xA700, 0.2, "CT1")
    metrics.operation(Service.STORE, 0x0000, 0.3, "CT1")
    found = _samples(metrics.render())
    assert found["pacsd_operations_total", "CT1", "C-STORE", "A7xx"] == 1
    assert found["pacsd_operations_total", "CT1", "C-STORE", "A9xx"] == 0
    assert found["pacsd_operations_total", "CT1", "C-STORE", "0000"] == 1
    assert found["pacsd_operation_duration_seconds_count", "C-STORE"] == 2
    assert found["pacsd_operation_duration_seconds_sum", "C-STORE"] == pytest.approx(0.5)


def test_bytes_commits_instances_and_the_rest(metrics: Metrics) -> None:
    metrics.bytes_received(1000)
    metrics.bytes_received(24)
    metrics.bytes_sent(7)
    metrics.commit_batch(5, 0.01)
    metrics.database_wait(0.5)
    metrics.instance_stored(CommitOutcome.STORED)
    metrics.storage_free(12345)
    metrics.associations_limit(2000)
    metrics.worker_restarted()
    found = _samples(metrics.render())
    assert found["pacsd_received_bytes_total",] == 1024
    assert found["pacsd_sent_bytes_total",] == 7
    assert found["pacsd_commit_instances_sum",] == 5
    assert found["pacsd_commit_duration_seconds_count",] == 1
    assert found["pacsd_database_wait_seconds_sum",] == 0.5
    assert found["pacsd_instances_received_total", "stored"] == 1
    assert found["pacsd_storage_free_bytes",] == 12345
    assert found["pacsd_associations_limit",] == 2000
    assert found["pacsd_worker_restarts_total",] == 1
    assert found["pacsd_build_info", pacsd.__version__] == 1


@pytest.mark.parametrize(
    ("status", "label"),
    [
        (0x0000, "0000"), (0x0110, "0110"), (0x0122, "0122"), (0x0211, "0211"), (0xFE00, "FE00"),
        (0xFF01, "FF01"), (0xA702, "A7xx"), (0xA801, "A8xx"), (0xA900, "A9xx"), (0xB000, "Bxxx"),
        (0xC123, "Cxxx"), (0x7777, "other"),
    ],
)  # fmt: skip
def test_statuses_become_labels(status: int, label: str) -> None:
    assert status_label(status) == label


def test_all_statuses_together_are_few_labels() -> None:
    assert len({status_label(status) for status in range(0x10000)}) < 70


@given(st.integers(-1, 1 << 20))
def test_no_status_is_without_a_label(status: int) -> None:
    assert status_label(status)


SEVERAL_PROCESSES = """
import os, sys
from pathlib import Path
from pacsd.observability import metrics as m

m.share_between_processes(Path(sys.argv[1]))
metrics = m.Metrics(["CT1"])
metrics.worker_restarted()

def count_as(slot):
    pid = os.fork()
    if pid == 0:
        m.join_as(slot)
        metrics.association_accepted("CT1")
        metrics.bytes_received(10)
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0

for slot in ("0", "1", "0"):
    count_as(slot)
print(len(os.listdir(sys.argv[1])))
m.forget_process("0")
# As a process leaves it for a moment before it counts for the first time.
Path(sys.argv[1], "counter_2.db").touch()
sys.stdout.flush()
sys.stdout.buffer.write(metrics.render())
"""


def test_processes_add_up_and_a_dead_ones_associations_are_no_longer_open(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", SEVERAL_PROCESSES, str(tmp_path)],
        check=True,
        capture_output=True,
        timeout=60,
        env=environment,
    )
    files, _, text = done.stdout.partition(b"\n")
    found = _samples(text)
    assert found["pacsd_received_bytes_total",] == 30
    assert found["pacsd_associations_accepted_total", "CT1"] == 3
    assert found["pacsd_worker_restarts_total",] == 1
    assert found["pacsd_associations_open",] == 1, "slot 1 still lives, slot 0 held two"
    assert int(files) <= 3 * 5, "one set of files for each slot, not for each process"
