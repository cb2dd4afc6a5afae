"""The matching rules of PS3.4 C.2.2.2 as a table of cases, and the keys that no rule gives a meaning."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from questions import query, study_query
from records import record

from pacsd.errors import IdentifierInvalid
from pacsd.index.repository import Index
from pacsd.index.schema.extra_keys import extra_key
from pacsd.model import DuplicatePolicy, FindQuery, QueryLevel, QueryModel, QueryOptions
from support.matches import matches_of
from support.matching_cases import CASES, Case, cases_with_roots
from support.matching_cases.refusals import REFUSED, TOO_MUCH

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pacsd.model import InstanceRecord


def _can_be_an_extra_key(keyword: str) -> bool:
    try:
        extra_key(keyword)
    except ValueError:
        return False
    return True


EXTRA_KEYWORDS = sorted({keyword for case in CASES for keyword in case.keys if _can_be_an_extra_key(keyword)})


@pytest.fixture(scope="module", params=[(), EXTRA_KEYWORDS], ids=["columns", "extra_keys"])
def archive(request: pytest.FixtureRequest, new_database_url: Callable[[], str]) -> Iterator[Index]:
    """What all cases keep, in one index: each question is asked of everything."""
    index = Index(new_database_url(), duplicates=DuplicatePolicy.REJECT, extra_keywords=request.param)
    index.register_extra_keys()
    index.commit([_record(each) for case, root in cases_with_roots() for each in case.instances(root)])
    assert not index.unbuilt_extra_keys()
    yield index
    index.dispose()


def _record(instance: dict[str, str]) -> InstanceRecord:
    nothing_else = dict.fromkeys(("PatientName", "StudyDate", "Modality"))
    return record(
        instance["SOPInstanceUID"],
        series=instance["SeriesInstanceUID"],
        study=instance["StudyInstanceUID"],
        sop_class_uid=instance["SOPClassUID"],
        **{**nothing_else, **instance},
    )


@pytest.mark.parametrize(("case", "root"), cases_with_roots(), ids=map(str, CASES))
def test_matching(archive: Index, case: Case, root: str) -> None:
    """PS3.4 C.2.2.2"""
    asked = FindQuery(
        model=QueryModel[case.model],
        level=QueryLevel(case.level),
        keys=case.question(root),
        options=QueryOptions(**dict.fromkeys(case.options, True)),
    )
    answers = [
        answer
        for answer in matches_of(archive, asked)
        if answer[case.unique_key] == root or answer[case.unique_key].startswith(f"{root}.")
    ]
    assert sorted(answer[case.unique_key] for answer in answers) == case.expected(root)
    for answer in answers:
        assert {keyword: answer[keyword] for keyword in case.answers} == case.answers


@pytest.mark.parametrize(("level", "keyword", "key"), [*REFUSED, *TOO_MUCH])
def test_a_key_that_means_nothing_is_refused_by_name(
    archive: Index, level: str, keyword: str, key: str
) -> None:
    above = {
        "SERIES": {"StudyInstanceUID": "1"},
        "IMAGE": {"StudyInstanceUID": "1", "SeriesInstanceUID": "2"},
    }
    with pytest.raises(IdentifierInvalid) as refused:
        archive.find(query(level, **above.get(level, {}), **{keyword: key}))
    assert refused.value.keywords == (keyword,)
    assert key not in str(refused.value) or key == "-"
    assert len(str(refused.value)) < 200


def test_the_longest_accepted_lists_can_be_asked(index: Index) -> None:
    index.commit([record()])
    uids = "\\".join(["1.2.1.1", *(f"1.{n}" for n in range(9_900))])
    names = "\\".join(["doe*=?*=?*", *(f"a{n}*=b*=c*" for n in range(49))])
    assert len(list(matches_of(index, study_query(StudyInstanceUID=uids)))) == 1
    assert list(matches_of(index, study_query(PatientName=names))) == []
    together = QueryOptions(multiple_values=True)
    modalities = "\\".join(["CT", *(f"M{n}" for n in range(50))])
    assert list(matches_of(index, query("STUDY", options=together, ModalitiesInStudy=modalities))) == []
    surrounded = study_query(PatientName="\\".join(["a*^*"] * 49 + ["doe*"]))
    assert len(list(matches_of(index, surrounded))) == 1


def test_too_many_values_to_be_met_together_are_refused_by_name(index: Index) -> None:
    diagnoses, modalities = ("\\".join(f"A{n}" for n in range(30)) for _ in range(2))
    keys = {"AdmittingDiagnosesDescription": diagnoses, "ModalitiesInStudy": modalities}
    with pytest.raises(IdentifierInvalid) as refused:
        index.find(query("STUDY", options=QueryOptions(multiple_values=True), **keys))
    assert refused.value.keywords == ("ModalitiesInStudy",)
    assert "A1" not in str(refused.value)
    assert list(matches_of(index, query("STUDY", **keys))) == []
