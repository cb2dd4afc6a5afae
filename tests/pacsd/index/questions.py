"""C-FIND queries for the index's tests."""

from __future__ import annotations

from pacsd.model import FindQuery, QueryLevel, QueryModel, QueryOptions


def study_query(**keys: str) -> FindQuery:
    return FindQuery(
        model=QueryModel.STUDY_ROOT, level=QueryLevel.STUDY, keys={"StudyInstanceUID": "", **keys}
    )


def query(
    level: str,
    *,
    model: QueryModel = QueryModel.STUDY_ROOT,
    options: QueryOptions = QueryOptions(),  # noqa: B008 - it is frozen
    **keys: str,
) -> FindQuery:
    return FindQuery(model=model, level=QueryLevel(level), keys=keys, options=options)


def patient_query(level: str, **keys: str) -> FindQuery:
    return query(level, model=QueryModel.PATIENT_ROOT, **keys)
