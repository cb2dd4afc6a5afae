"""Every key of PS3.4 §C.6.1 and §C.6.2, asked for at its level and below in each model."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from records import record

from pacsd.dataset.sequences import text_of
from pacsd.model import FindQuery, QueryLevel, QueryModel
from support.matches import matches_of
from support.standard_keys import INSTANCES, LEVELS_OF, keys_down_to, question_at

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pacsd.index.repository import Index
    from pacsd.model import InstanceRecord
    from support.standard_keys import Value


def _texts(values: Mapping[str, Value]) -> dict[str, str]:
    return {keyword: value if isinstance(value, str) else text_of(value) for keyword, value in values.items()}


def _record(instance: Mapping[str, Value]) -> InstanceRecord:
    values = _texts(instance)
    return record(
        values["SOPInstanceUID"],
        series=values["SeriesInstanceUID"],
        study=values["StudyInstanceUID"],
        sop_class_uid=values["SOPClassUID"],
        **values,
    )


@pytest.mark.parametrize(
    ("model", "level"), [(model, level) for model, levels in LEVELS_OF.items() for level in levels]
)
def test_every_key_is_answered(index: Index, model: str, level: str) -> None:
    index.commit([_record(each) for each in INSTANCES])
    asked = FindQuery(model=QueryModel[model], level=QueryLevel(level), keys=question_at(level))
    assert index.unsupported_keys(asked) == ()
    assert list(matches_of(index, asked)) == [_texts(keys_down_to(level))]
