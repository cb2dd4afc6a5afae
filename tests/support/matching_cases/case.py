"""A case of matching: what is kept, what is asked, and which of it must be found.

`~` in values and keys stands for a UID that no other case has, so all cases can lie in one archive. What is kept is
numbered by study, series and instance: the instance at "1.2.3" has the SOP Instance UID `~.1.2.3`, its series
`~.1.2` and its study `~.1`. Unless a case says otherwise, each study has a patient of its own, whose Patient ID is
the study's UID.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["Attributes", "Case", "group", "studies"]

Attributes = Mapping[str, str]
"""Values by keyword; several of one attribute are joined by a backslash."""

UNIQUE_KEYS = {
    "PATIENT": "PatientID",
    "STUDY": "StudyInstanceUID",
    "SERIES": "SeriesInstanceUID",
    "IMAGE": "SOPInstanceUID",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One question to an archive."""

    rule: str
    """Which clause's rule it is about."""
    kept: Mapping[str, Attributes]
    """Instances by place; the UIDs are not among the attributes."""
    keys: Attributes
    found: tuple[str, ...] = ()
    """Unique keys of the level, with `~`, of all entities of the case that match, in any order."""
    level: str = "STUDY"
    model: str = "STUDY_ROOT"
    options: tuple[str, ...] = ()
    """What is negotiated, as fields of `QueryOptions`."""
    answers: Attributes = field(default_factory=dict)
    """What each match must carry besides."""

    @property
    def unique_key(self) -> str:
        """The keyword by which `found` names the matches."""
        return UNIQUE_KEYS[self.level]

    def instances(self, root: str) -> list[dict[str, str]]:
        """What is kept, complete, where the case's own UID is `root`."""
        return [_instance(place, attributes, root) for place, attributes in self.kept.items()]

    def question(self, root: str) -> dict[str, str]:
        """The keys, with those that the model wants of the levels above (PS3.4 C.4.1.2.1): those of "1.1.1"."""
        asked = {**self._above(), self.unique_key: "", **dict.fromkeys(self.answers, ""), **self.keys}
        return {keyword: value.replace("~", root) for keyword, value in asked.items()}

    def _above(self) -> dict[str, str]:
        if "relational" in self.options:
            return {}
        above = {"PatientID": "~.1"} if self.model != "STUDY_ROOT" and self.level != "PATIENT" else {}
        if self.level in ("SERIES", "IMAGE"):
            above["StudyInstanceUID"] = "~.1"
        if self.level == "IMAGE":
            above["SeriesInstanceUID"] = "~.1.1"
        return above

    def own_question(self, root: str) -> dict[str, str]:
        """The question, kept to what is this case's where it would be asked of all that there is."""
        asked = self.question(root)
        is_open = self.level == "STUDY" or "relational" in self.options
        if not asked[self.unique_key] and is_open and self.level != "PATIENT":
            own = {each[self.unique_key] for each in self.instances(root)}
            asked[self.unique_key] = "\\".join(sorted(own))
        if not asked[self.unique_key] and self.level == "PATIENT":
            asked[self.unique_key] = f"{root}.*"
        return asked

    def expected(self, root: str) -> list[str]:
        """The unique keys to be found, in order."""
        return sorted(each.replace("~", root) for each in self.found)

    def __str__(self) -> str:
        kept = "+".join("&".join(attributes.values()) for attributes in self.kept.values())
        asked = "&".join(f"{keyword}={value}" for keyword, value in self.keys.items())
        name = f"{self.rule}-{self.level}-{kept[:40]}-{asked[:60]}-{len(self.found)}"
        return name.encode("unicode_escape").decode()


def _instance(place: str, attributes: Attributes, root: str) -> dict[str, str]:
    study, series, instance = place.split(".")
    uids = {
        "StudyInstanceUID": f"{root}.{study}",
        "SeriesInstanceUID": f"{root}.{study}.{series}",
        "SOPInstanceUID": f"{root}.{study}.{series}.{instance}",
    }
    values = {"PatientID": f"~.{study}", "SOPClassUID": "1.2.840.10008.5.1.4.1.1.2", **attributes}
    return {**uids, **{keyword: value.replace("~", root) for keyword, value in values.items()}}


def group(
    rule: str,
    *rows: tuple[str, str | None, str, bool],
    level: str = "STUDY",
    model: str = "STUDY_ROOT",
    options: tuple[str, ...] = (),
) -> list[Case]:
    """Cases of one instance and one key: keyword, value kept (None: absent), key, whether it is found."""
    found = {"PATIENT": "~.1", "STUDY": "~.1", "SERIES": "~.1.1", "IMAGE": "~.1.1.1"}[level]
    return [
        Case(
            rule=rule,
            kept={"1.1.1": {} if value is None else {keyword: value}},
            keys={keyword: key},
            found=(found,) if matches else (),
            level=level,
            model=model,
            options=options,
        )
        for keyword, value, key, matches in rows
    ]


def studies(*attributes: Attributes) -> dict[str, Attributes]:
    """Studies of one instance each, numbered from 1."""
    return {f"{number}.1.1": each for number, each in enumerate(attributes, 1)}
