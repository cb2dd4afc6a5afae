"""The information models of query and retrieve: their levels and their SOP classes (PS3.4 §C.6)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from pacsd.model import QueryLevel, QueryModel

__all__ = [
    "FIND_MODELS",
    "GET_MODELS",
    "INFORMATION_MODELS",
    "MOVE_MODELS",
    "RETRIEVE_MODELS",
    "InformationModel",
]


@dataclass(frozen=True, slots=True)
class InformationModel:
    """One model: its levels from the highest down, and the SOP classes by which it is asked."""

    levels: tuple[QueryLevel, ...]
    find: str
    move: str
    get: str


INFORMATION_MODELS: Final[Mapping[QueryModel, InformationModel]] = MappingProxyType(
    {
        QueryModel.PATIENT_ROOT: InformationModel(
            tuple(QueryLevel),
            find="1.2.840.10008.5.1.4.1.2.1.1",
            move="1.2.840.10008.5.1.4.1.2.1.2",
            get="1.2.840.10008.5.1.4.1.2.1.3",
        ),
        QueryModel.STUDY_ROOT: InformationModel(
            (QueryLevel.STUDY, QueryLevel.SERIES, QueryLevel.IMAGE),
            find="1.2.840.10008.5.1.4.1.2.2.1",
            move="1.2.840.10008.5.1.4.1.2.2.2",
            get="1.2.840.10008.5.1.4.1.2.2.3",
        ),
        QueryModel.PATIENT_STUDY_ONLY: InformationModel(
            (QueryLevel.PATIENT, QueryLevel.STUDY),
            find="1.2.840.10008.5.1.4.1.2.3.1",
            move="1.2.840.10008.5.1.4.1.2.3.2",
            get="1.2.840.10008.5.1.4.1.2.3.3",
        ),
    }
)
FIND_MODELS: Final[Mapping[str, QueryModel]] = MappingProxyType(
    {each.find: model for model, each in INFORMATION_MODELS.items()}
)
"""By the SOP class of a C-FIND."""
MOVE_MODELS: Final[Mapping[str, QueryModel]] = MappingProxyType(
    {each.move: model for model, each in INFORMATION_MODELS.items()}
)
"""By the SOP class of a C-MOVE."""
GET_MODELS: Final[Mapping[str, QueryModel]] = MappingProxyType(
    {each.get: model for model, each in INFORMATION_MODELS.items()}
)
"""By the SOP class of a C-GET."""
RETRIEVE_MODELS: Final[Mapping[str, QueryModel]] = MappingProxyType({**MOVE_MODELS, **GET_MODELS})
"""By the SOP class of either."""
