"""What a retrieve has selected: thousands of instances, of which a page at a time is known in full."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, overload

from pacsd.model import StoredInstance

__all__ = ["SelectedInstances", "kinds_of", "uids_from"]

PAGE: Final = 200
_GONE: Final = "gone"
"""The path of what the index does not know any more: no file has it."""


class SelectedInstances(Sequence[StoredInstance]):
    """Instances in a fixed order; of those behind the first page only the UID is kept, with class and syntax.

    The others' places in the index are looked up when they are come to. One that is gone by then is given all the same,
    without a file, so that it is counted as failed. Looking up raises IndexUnavailable.
    """

    def __init__(self, look_up: Callable[[Sequence[str]], Mapping[str, StoredInstance]]) -> None:
        """`look_up` returns those of some SOP Instance UIDs that there are."""
        self._look_up = look_up
        self._first: list[StoredInstance] = []
        self._uids: list[bytes] = []
        """Of each page behind the first, joined by a backslash, which no UID has."""
        self._last: list[str] = []
        """Of a page that is not full yet."""
        self._kinds = array("I")
        self._all_kinds: dict[tuple[str, str], int] = {}
        self._page: tuple[int, list[StoredInstance]] = (0, self._first)

    def add(self, sop_instance_uid: str, kind: tuple[str, str], whole: Callable[[], StoredInstance]) -> None:
        """Add one behind the others; `kind` is its SOP class and transfer syntax, `whole` gives all of it."""
        if len(self._first) < PAGE:
            self._first.append(whole())
        else:
            self._last.append(sop_instance_uid)
            if len(self._last) == PAGE:
                self._uids.append("\\".join(self._last).encode())
                self._last.clear()
        self._kinds.append(self._all_kinds.setdefault(kind, len(self._all_kinds)))

    def __len__(self) -> int:
        return len(self._kinds)

    @overload
    def __getitem__(self, place: int) -> StoredInstance: ...
    @overload
    def __getitem__(self, place: slice) -> list[StoredInstance]: ...
    def __getitem__(self, place: Any) -> Any:
        if isinstance(place, slice):
            return [self[each] for each in range(*place.indices(len(self)))]
        if place < 0:
            place += len(self)
        if not 0 <= place < len(self):
            raise IndexError(place)
        number, within = divmod(place, PAGE)
        if number != self._page[0]:
            self._page = (number, self._load(number) if number else self._first)
        return self._page[1][within]

    def _load(self, number: int) -> list[StoredInstance]:
        uids = self._uids_of(number)
        found = self._look_up(uids)
        kinds = list(self._all_kinds)
        return [
            found.get(uid) or _gone(uid, kinds[self._kinds[place]])
            for place, uid in enumerate(uids, number * PAGE)
        ]

    def _uids_of(self, number: int) -> list[str]:
        if number == 0:
            return [each.sop_instance_uid for each in self._first]
        return self._uids[number - 1].decode().split("\\") if number <= len(self._uids) else self._last

    def kinds(self) -> Iterator[tuple[str, str]]:
        """Yield SOP class and transfer syntax of each, without looking any of them up."""
        kinds = list(self._all_kinds)
        return (kinds[each] for each in self._kinds)

    def uids_from(self, place: int) -> Iterator[str]:
        """Yield the SOP Instance UIDs from there on, without looking any of them up."""
        number, within = divmod(place, PAGE)
        while number * PAGE < len(self):
            yield from self._uids_of(number)[within:]
            number, within = number + 1, 0


def _gone(sop_instance_uid: str, kind: tuple[str, str]) -> StoredInstance:
    return StoredInstance(
        sop_instance_uid=sop_instance_uid,
        sop_class_uid=kind[0],
        transfer_syntax_uid=kind[1],
        path=_GONE,
        size=0,
        dataset_offset=0,
    )


def kinds_of(instances: Sequence[StoredInstance]) -> Iterable[tuple[str, str]]:
    """Return SOP class and transfer syntax of each of some instances."""
    if isinstance(instances, SelectedInstances):
        return instances.kinds()
    return ((each.sop_class_uid, each.transfer_syntax_uid) for each in instances)


def uids_from(instances: Sequence[StoredInstance], place: int) -> Iterable[str]:
    """Return the SOP Instance UIDs from a place on."""
    if isinstance(instances, SelectedInstances):
        return instances.uids_from(place)
    return (each.sop_instance_uid for each in instances[place:])
