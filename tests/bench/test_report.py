"""What becomes of figures on their way to the tables."""

from __future__ import annotations

import pytest

from harness.report import Section, document, median_of, percentile, table, text, with_ratios


@pytest.mark.parametrize(("fraction", "expected"), [(0, 1), (0.5, 2.5), (0.99, 3.97), (1, 4)])
def test_percentiles_lie_between_neighbours(fraction, expected):
    assert percentile([4, 1, 3, 2], fraction) == pytest.approx(expected)


def test_the_percentile_of_nothing_is_zero():
    assert percentile([], 0.5) == 0


def test_medians_are_of_the_rounds_that_have_the_figure():
    rows = [
        {"rate": 1.0, "failures": ["b"]},
        {"rate": 9.0, "failures": []},
        {"failures": ["a", "b"]},
        {"rate": 3.0, "failures": []},
    ]
    merged = median_of(rows, ["rate", "absent"])
    assert merged == {"rate": 3.0, "failures": ["a", "b"], "rounds": 4}


def test_a_failed_first_round_hides_nothing_of_the_others():
    merged = median_of([{"failures": ["down"]}, {"rate": 5.0, "pdu": 16384, "failures": []}], ["rate"])
    assert (merged["rate"], merged["pdu"], merged["failures"]) == (5.0, 16384, ["down"])


def test_ratios_are_of_the_target_over_each_peer():
    rows = [{"server": "mine", "rate": 900.0, "cpu": 0.5}, {"server": "peer", "rate": 300.0, "cpu": 2.0}]
    with_ratios(rows, "mine", "rate", "cpu")
    assert [(row["rate_ratio"], row["cost_ratio"]) for row in rows] == [(1.0, 1.0), (3.0, 0.25)]


@pytest.mark.parametrize("peer", [{}, {"rate": None}, {"rate": 0.0}, {"rate": "failed"}])
def test_there_is_no_ratio_to_a_peer_without_the_figure(peer):
    rows = [{"server": "mine", "rate": 900.0}, {"server": "peer", **peer}]
    assert "rate_ratio" not in with_ratios(rows, "mine", "rate")[1]


def test_there_are_no_ratios_without_the_target():
    assert with_ratios([{"server": "peer", "rate": 1.0}], "mine", "rate") == [{"server": "peer", "rate": 1.0}]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, "-"),
        (1234.5, "1234"),
        (0.12345, "0.1235"),
        ([1, 2.0], "1; 2"),
        ({"fsync file": 1.0}, "fsync file x1"),
    ],
)
def test_cells(value, expected):
    assert text(value) == expected


def test_columns_that_nobody_has_are_left_out():
    drawn = table(
        [{"server": "mine", "rate": 9.0}], [("server", "server"), ("rate", "inst/s"), ("gone", "gone")]
    )
    assert drawn.splitlines() == ["| server | inst/s |", "|--------|--------|", "| mine   | 9      |"]


def test_a_document_has_a_heading_for_each_part_and_case():
    section = Section("Part", [("server", "server")], [("case 1", [{"server": "mine"}])])
    assert [line for line in document([section]).splitlines() if line.startswith("#")] == [
        "## Part",
        "### case 1",
    ]
