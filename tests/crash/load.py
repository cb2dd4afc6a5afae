"""Senders that keep a server busy and remember what it acknowledged."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from itertools import count, islice
from typing import TYPE_CHECKING

from support.constructed import encode, simple_dataset
from support.wire import ConnectionLostError, WireAssociation, operations_window

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.instance import Instance
    from support.server import PacsdServer

PREFIX = "1.2.826.0.1.3680043.10.1585"
SENDERS = 8
SMALL_PIXELS, LARGE_PIXELS = 2000, 524_000
LARGE_EVERY = 8
"""Every eighth instance has the size of a CT image, so that a kill also meets transfers under way."""
COMMON_EVERY = 5
"""Every fifth instance that a sender sends is of the common series: the same ones come from all at about once."""


AHEAD = 4
"""So many instances every second sender sends before it reads an answer."""
_STUDY, _SERIES, _NUMBER = "777777", "999999", "88888888"
"""Stand in the template for what makes an instance unique, and are as long."""


@cache
def _template(pixels: int) -> Instance:
    dataset = simple_dataset(1)
    dataset.PatientID = "LOAD"
    dataset.StudyInstanceUID = f"{PREFIX}.1.{_STUDY}"
    dataset.SeriesInstanceUID = f"{PREFIX}.2.{_SERIES}"
    dataset.SOPInstanceUID = f"{PREFIX}.3.{_SERIES}.{_NUMBER}"
    dataset.Rows, dataset.Columns = pixels // 2000, 1000
    dataset.PixelData = b"\x5a\xa5" * (pixels // 2)
    return encode(dataset, "load")


def series_uids(series: int) -> tuple[str, str]:
    """Study and Series Instance UID of a series of six digits; each hundred of series is a study."""
    return f"{PREFIX}.1.{series // 100 * 100}", f"{PREFIX}.2.{series}"


def sop_instance_uid(series: int, number: int) -> str:
    """The SOP Instance UID of one instance of a series."""
    return f"{PREFIX}.3.{series}.{10_000_000 + number}"


def numbers_of(uid: str) -> tuple[int, int]:
    """What `sop_instance_uid` was made from: series and number."""
    series, number = uid.removeprefix(f"{PREFIX}.3.").split(".")
    return int(series), int(number) - 10_000_000


def instance(series: int, number: int) -> Instance:
    """One instance of a series, all of whose content follows from the two numbers."""
    model = _template(LARGE_PIXELS if number % LARGE_EVERY == 0 else SMALL_PIXELS)
    study_uid, series_uid = series_uids(series)
    dataset = model.dataset
    for placeholder, value in (
        (_STUDY, series // 100 * 100),
        (_SERIES, series),
        (_NUMBER, 10_000_000 + number),
    ):
        dataset = dataset.replace(placeholder.encode(), str(value).encode())
    return replace(
        model,
        study_instance_uid=study_uid,
        series_instance_uid=series_uid,
        sop_instance_uid=sop_instance_uid(series, number),
        dataset=dataset,
    )


class Load:
    """Eight associations, each storing one instance after the other until told to stop or cut off."""

    def __init__(self, server: PacsdServer, first_series: int) -> None:
        """Prepare; each sender has a series of its own, numbered from `first_series`, and all have one more."""
        own = range(first_series, first_series + SENDERS)
        self.series = range(first_series, first_series + SENDERS + 1)
        self.acknowledged: dict[int, set[int]] = {series: set() for series in self.series}
        """The numbers of the instances that were acknowledged at least once, by series."""
        self.refused: list[int] = []
        """Statuses other than Success."""
        self.cut_off = 0
        """How many associations ended before they were released."""
        self.slowest = 0.0
        """The longest time from sending to an answer, seconds."""
        self._address = (server.host, server.port)
        self._changed = threading.Condition()
        self._stopping = threading.Event()
        self._threads = [threading.Thread(target=self._send, args=(series,)) for series in own]

    @property
    def total(self) -> int:
        """How many different instances were acknowledged so far."""
        return sum(map(len, self.acknowledged.values()))

    def wait_for(self, acknowledgements: int, *, within: float) -> None:
        """Return as soon as so many instances are acknowledged."""
        with self._changed:
            came = self._changed.wait_for(lambda: self.total >= acknowledgements, timeout=within)
        assert came, f"only {self.total} of {acknowledgements} acknowledged within {within:g} s"

    @contextmanager
    def running(self) -> Iterator[None]:
        """Send while the block runs; at its end all senders stop after their current instance."""
        for thread in self._threads:
            thread.start()
        try:
            yield
        finally:
            self._stopping.set()
            for thread in self._threads:
                thread.join(60)

    def _send(self, series: int) -> None:
        numbers = count(1)
        while not self._stopping.is_set():
            try:
                self._send_on_one_association(series, numbers)
            except ConnectionLostError:
                with self._changed:
                    self.cut_off += 1
            except ConnectionRefusedError:
                return

    def _send_on_one_association(self, series: int, numbers: Iterator[int]) -> None:
        sample = instance(series, 0)
        context = [(sample.sop_class_uid, sample.transfer_syntax_uid)]
        ahead = AHEAD if series % 2 else 1
        with WireAssociation(self._address, context, user_items=operations_window(ahead)) as peer:
            while not self._stopping.is_set():
                self._send_some(peer, series, list(islice(numbers, ahead)))
            peer.release()

    def _send_some(self, peer: WireAssociation, series: int, numbers: list[int]) -> None:
        under_way: dict[int, tuple[int, int]] = {}
        began = time.monotonic()
        for number in numbers:
            of_series = self.series[-1] if number % COMMON_EVERY == 0 else series
            under_way[number % 65536] = of_series, number
            peer.send_store(instance(of_series, number), number % 65536)
        while under_way:
            response = peer.read_response()
            seconds = time.monotonic() - began
            self._note(*under_way.pop(response.message_id), response.status, seconds)

    def _note(self, series: int, number: int, status: int, seconds: float) -> None:
        with self._changed:
            self.slowest = max(self.slowest, seconds)
            if status == 0x0000:
                self.acknowledged[series].add(number)
            else:
                self.refused.append(status)
            self._changed.notify_all()
