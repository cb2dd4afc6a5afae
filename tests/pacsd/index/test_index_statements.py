"""A statement that is kept for its shape answers as one that was made for the question; rows stream."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from hypothesis import Phase, event, given, settings
from hypothesis import strategies as st
from questions import query, study_query
from records import record
from sqlalchemy import create_engine
from values_and_keys import REPRESENTATIONS

from pacsd.errors import IdentifierInvalid
from pacsd.index.read import statements, streams
from pacsd.index.repository import Index
from pacsd.model import DuplicatePolicy
from support.matches import matches_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from pacsd.model import FindQuery

KEYS = {
    "PatientID": REPRESENTATIONS["LO"][1],
    "PatientName": REPRESENTATIONS["PN"][1],
    "StudyDate": REPRESENTATIONS["DA"][1],
    "StudyTime": REPRESENTATIONS["TM"][1],
    "StudyInstanceUID": st.lists(st.sampled_from(["1.0", "1.1", "1.2", "1.9"]), max_size=3).map("\\".join),
    "ModalitiesInStudy": st.sampled_from(["", "CT", "MR", "M*", "CT\\MR", "?R"]),
    "NumberOfStudyRelatedSeries": st.just(""),
    "StudyComments": REPRESENTATIONS["LT"][1],
}


@pytest.fixture(scope="module")
def index(new_database_url: Callable[[], str]) -> Iterator[Index]:
    """An index of texts that the strategies' keys are like."""
    index = Index(new_database_url(), duplicates=DuplicatePolicy.REJECT)
    texts = ["a", "aA", "b%", "a^b=é", "A^B\\b", "", "_", "ß"]
    index.commit(
        [
            record(
                f"{number}.{series}",
                study=f"1.{number}",
                series=f"{number}.{series}",
                PatientID=f"{text}{number}",
                PatientName=text,
                StudyDate=["20230101", "20240228", "2024.12.01", ""][number % 4],
                StudyTime=["10", "1130", "123059.5", ""][number // 2],
                StudyComments=text,
                Modality=["CT", "MR"][(number + series) % 2],
            )
            for number, text in enumerate(texts)
            for series in range(1 + number % 3)
        ]
    )
    yield index
    index.dispose()


def forget_statements() -> None:
    statements._remembered.cache_clear()


def answer(index: Index, question: FindQuery) -> list[Mapping[str, str]] | None:
    try:
        return list(matches_of(index, question))
    except IdentifierInvalid:
        return None


@settings(deadline=None, max_examples=60, phases=[each for each in Phase if each is not Phase.explain])
@given(data=st.data())
def test_an_answer_is_the_same_by_a_statement_made_for_another_question(
    index: Index, data: st.DataObject
) -> None:
    keywords = data.draw(st.lists(st.sampled_from(sorted(KEYS)), min_size=1, max_size=4, unique=True))
    asked = st.fixed_dictionaries({keyword: KEYS[keyword] for keyword in keywords})
    questions = [study_query(**keys) for keys in data.draw(st.lists(asked, min_size=2, max_size=8))]
    forget_statements()
    shared = [answer(index, question) for question in questions]
    event(f"{statements._remembered.cache_info().hits} by a statement of another")
    for question, answers in zip(questions, shared, strict=True):
        forget_statements()
        assert answer(index, question) == answers


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"PatientID": "a0"}, {"PatientID": "b%2"}),
        ({"PatientName": "A*"}, {"PatientName": "ß*"}),
        ({"StudyDate": "20230101-"}, {"StudyDate": "20240101-"}),
        ({"StudyInstanceUID": "1.1\\1.2"}, {"StudyInstanceUID": "1.3\\1.4"}),
    ],
)
def test_questions_that_differ_in_values_share_a_statement(
    index: Index, first: dict[str, str], second: dict[str, str]
) -> None:
    forget_statements()
    assert answer(index, study_query(**first)) != answer(index, study_query(**second))
    assert statements._remembered.cache_info().misses == 1


def test_long_lists_of_uids_are_not_remembered(index: Index) -> None:
    forget_statements()
    uids = "\\".join(f"1.{number}" for number in range(5, 305))
    found = answer(index, query("STUDY", StudyInstanceUID=uids))
    assert found == [{"StudyInstanceUID": f"1.{number}"} for number in (5, 6, 7)]
    assert statements._remembered.cache_info().currsize == 0


@pytest.mark.parametrize("few", [2, 3, 4])
def test_more_than_the_expected_few_rows_are_found_all_the_same(
    index: Index, few: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "_FEW", few)
    question = study_query(StudyInstanceUID="1.0\\1.1\\1.2")
    for _ in range(
        8
    ):  # PostgreSQL's driver has a statement planned for all times when it meets it again and again
        with closing(index.find(question)) as pages:
            found = [each["StudyInstanceUID"] for page in pages for each in page]
        assert found == ["1.0", "1.1", "1.2"]
        assert pages.is_exhausted
        assert index._reading.pool.checkedout() == 0  # type: ignore[attr-defined]


def test_an_answer_given_up_early_leaves_its_connection_to_the_next(index: Index) -> None:
    for _ in range(3):
        pages = index.find(study_query())
        assert next(pages)
        assert index._reading.pool.checkedout() == 1  # type: ignore[attr-defined]
        pages.close()
        assert index._reading.pool.checkedout() == 0  # type: ignore[attr-defined]
    assert len(list(matches_of(index, study_query()))) == 8


def test_a_query_is_answered_though_the_server_has_cut_idle_connections(migrated_postgres: str) -> None:
    index = Index(migrated_postgres, duplicates=DuplicatePolicy.KEEP_FIRST)
    engine = create_engine(migrated_postgres, isolation_level="AUTOCOMMIT")
    for ask in (
        lambda: answer(index, study_query()),
        index.count_instances,
        lambda: answer(index, study_query()),
    ):
        ask()
        with engine.connect() as connection:
            cut = "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE application_name = 'pacsd'"
            assert True in connection.exec_driver_sql(cut).scalars().all()
        ask()
    engine.dispose()
    index.dispose()
