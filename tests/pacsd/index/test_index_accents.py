"""Names with accents and without: what is folded and what is not, either setting, and the rows of older versions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from alembic import command
from alembic.config import Config
from questions import patient_query, query
from records import record
from sqlalchemy import text

from pacsd.dataset.sequences import text_of
from pacsd.index.database.engines import database_url, writing_engine
from pacsd.index.schema import migrations
from pacsd.model import QueryOptions
from pacsd.query.accents import without_accents
from pacsd.query.normalization import name_groups

if TYPE_CHECKING:
    from conftest import OpenIndex
    from pacsd.index.repository import Index


@pytest.mark.parametrize(
    ("name", "bare"),
    [
        ("müller^jürgen", "muller^jurgen"),
        ("mu\u0308ller", "muller"),
        ("nguyễn", "nguyen"),
        ("q\u0307\u0323x", "qx"),
        ("ά\u03bd\u03bd\u03b1", "\u03b1\u03bd\u03bd\u03b1"),
        ("\u0439\u043e\u0434", "\u0438\u043e\u0434"),
        ("sørensen", "sørensen"),
        ("łukasz", "łukasz"),
        ("\u0131lg\u0131n", "\u0131lg\u0131n"),
        ("œuvre æther", "œuvre æther"),
        ("がぎ", "がぎ"),
        ("か\u3099", "が"),
        ("ガ", "ガ"),
        ("홍^길동", "홍^길동"),
        ("山\ufe00田", "山\ufe00田"),
        ("शर्मा", "शर्मा"),
        ("עֲבֵרָה", "עֲבֵרָה"),
        ("m?\u0308ller*\u0301", "m?ller*"),
        ("^\u0301", "^\u0301"),
    ],
)
def test_only_what_is_an_accent_goes(name: str, bare: str) -> None:
    assert without_accents(name) == bare
    assert without_accents(bare) == bare


def test_case_is_folded_before_accents_are() -> None:
    assert name_groups("\u0130BRAH\u0130M^GROẞ=ﬁ") == ("ibrahim^gross", "fi", "")
    assert name_groups("Ärzte^Élan", accents=True) == ("ärzte^élan", "", "")


NAMES = ("Müller^Jürgen", "Muller^Jurgen", "Mu\u0308ller^Jürgen=山田", "Moller^X̂a", "=が^か", "A\\Élan^B")
QUESTIONS = {
    "MULLER*": ({0, 1, 2}, {1}),
    "müller*": ({0, 1, 2}, {0, 2}),
    "Mu\u0308ller^J?rgen": ({0, 1, 2}, {0, 2}),
    "M?ller^*": ({0, 1, 2, 3}, {0, 1, 2, 3}),
    "Muller^Jurgen\\elan*": ({0, 1, 2, 5}, {1}),
    "élan^b": ({5}, {5}),
    "moller^xa": ({3}, set()),
    "moller^x?a": (set(), {3}),
    "moller^??a": (set(), {3}),
    "=か*": (set(), set()),
    "=が*": ({4}, {4}),
    "mu*=山*": ({2}, set()),
    "*": ({0, 1, 2, 3, 4, 5}, {0, 1, 2, 3, 4, 5}),
}


def _found(index: Index, name: str, keyword: str = "PatientName") -> set[int]:
    answers = index.find(patient_query("PATIENT", PatientID="", **{keyword: name}))
    return {int(answer["PatientID"]) for page in answers for answer in page}


@pytest.mark.parametrize("name", QUESTIONS)
@pytest.mark.parametrize("keyword", ["PatientName", "OtherPatientNames"])
def test_either_setting_finds_what_it_says_of_the_same_rows(
    open_index: OpenIndex, name: str, keyword: str
) -> None:
    index = open_index(extra_keywords=("OtherPatientNames",))
    index.register_extra_keys()
    index.commit(
        [
            record(f"1.{n}", study=f"2.{n}", PatientID=str(n), **{"PatientName": None, keyword: each})
            for n, each in enumerate(NAMES)
        ]
    )
    insensitive, sensitive = QUESTIONS[name]
    assert _found(index, name, keyword) == insensitive
    assert _found(open_index(accents=True), name, keyword) == sensitive
    assert _found(open_index(accents=True, extra_keywords=("OtherPatientNames",)), name, keyword) == sensitive


def test_either_setting_holds_within_sequences(open_index: OpenIndex) -> None:
    kept = text_of([{"PersonName": "Müller^Jürgen"}])
    open_index().commit([record("1.1", RequestAttributesSequence=kept)])
    for name, accents, found in [("MULLER*", False, 1), ("MULLER*", True, 0), ("m?ller*", True, 1)]:
        question = query(
            "SERIES",
            SeriesInstanceUID="",
            StudyInstanceUID="1.2.1.1",
            RequestAttributesSequence=text_of([{"PersonName": name}]),
        )
        pages = open_index(accents=accents).find(question)
        assert sum(len(page) for page in pages) == found


def test_either_setting_holds_for_names_that_must_all_be_there(open_index: OpenIndex) -> None:
    open_index().commit([record("1.1", OtherPatientNames="Müller^A\\Doe^B")])
    for names, accents, found in [
        ("muller^*\\doe^*", False, 1),
        ("muller^*\\doe^*", True, 0),
        ("müller^*\\doe^*", True, 1),
        ("müller^*\\roe^*", True, 0),
    ]:
        question = query(
            "STUDY", options=QueryOptions(multiple_values=True), StudyInstanceUID="", OtherPatientNames=names
        )
        assert sum(map(len, open_index(accents=accents).find(question))) == found


def test_the_names_of_an_older_version_lose_their_accents(
    empty_database_url: str,
) -> None:
    migrations.upgrade(empty_database_url)
    engine = writing_engine(database_url(empty_database_url))
    with engine.connect() as connection:
        config = Config()
        config.set_main_option("script_location", str(migrations.scripts()).replace("%", "%%"))
        config.attributes["connection"] = connection
        command.downgrade(config, "0003")
    insert = text("INSERT INTO patients (patient_key, patient_name, patient_name_ideographic, header, inexact)"
                  " VALUES (:key, :name, :group, '{}', false)")  # fmt: skip
    with engine.begin() as connection:
        for n in range(5):
            connection.execute(insert, {"key": str(n), "name": f"müller^{n}", "group": "が" if n else None})
    migrations.upgrade(empty_database_url)
    with engine.connect() as connection:
        rows = connection.execute(
            text("SELECT patient_name, patient_name_ideographic FROM patients ORDER BY id")
        ).all()
    engine.dispose()
    assert [tuple(row) for row in rows] == [(f"muller^{n}", "が" if n else None) for n in range(5)]
