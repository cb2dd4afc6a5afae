"""Senders that keep a server busy and remember what it acknowledged."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from itertools import count
from typing import TYPE_CHECKING

from support.constructed import encode, simple_dataset
from support.wire import ConnectionLostError, WireAssociation

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.instance import Instance
    from support.server import PacsdServer

PREFIX = "1.2.826.0.1.3680043.10.1585"
SENDERS = 8
LARGE_PIXELS = 200_000
"""Every fifth instance is as large as this, bytes, so that a kill also meets transfers under way."""


@cache
def _template(pixels: int) -> Instance:
    dataset = simple_dataset(1)
    dataset.PatientID = "LOAD"
    dataset.StudyInstanceUID = f"{PREFIX}.1.999999"
    dataset.SeriesInstanceUID = f"{PREFIX}.2.999999"
    dataset.SOPInstanceUID = f"{PREFIX}.3.999999.88888888"
    dataset.Rows, dataset.Columns = pixels // 2000, 1000
    dataset.PixelData = b"\x5a\xa5" * (pixels // 2)
    return encode(dataset, "load")


def series_uids(series: int) -> tuple[str, str]:
    """Study and Series Instance UID of one sender's series; `series` has six digits."""
    return f"{PREFIX}.1.{series}", f"{PREFIX}.2.{series}"


def instance(series: int, number: int) -> Instance:
    """One instance of a series, all of whose content follows from the two numbers."""
    model = _template(LARGE_PIXELS if number % 5 == 0 else 2000)
    unique = str(10_000_000 + number).encode()
    dataset = model.dataset.replace(b"999999", str(series).encode()).replace(b"88888888", unique)
    study_uid, series_uid = series_uids(series)
    return replace(
        model,
        study_instance_uid=study_uid,
        series_instance_uid=series_uid,
        sop_instance_uid=f"{PREFIX}.3.{series}.{unique.decode()}",
        dataset=dataset,
    )


class Load:
    """Eight associations, each storing one instance after the other until told to stop or cut off."""

    def __init__(self, server: PacsdServer, first_series: int) -> None:
        """Prepare; each sender has a series of its own, numbered from `first_series`."""
        self.series = range(first_series, first_series + SENDERS)
        self.acknowledged: dict[int, list[Instance]] = {series: [] for series in self.series}
        self.refused: list[int] = []
        """Statuses other than Success."""
        self._address = (server.host, server.port)
        self._changed = threading.Condition()
        self._stopping = threading.Event()
        self._threads = [threading.Thread(target=self._send, args=(series,)) for series in self.series]

    @property
    def total(self) -> int:
        """How many instances were acknowledged so far."""
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
                continue
            except ConnectionRefusedError:
                return

    def _send_on_one_association(self, series: int, numbers: Iterator[int]) -> None:
        sample = instance(series, 0)
        context = [(sample.sop_class_uid, sample.transfer_syntax_uid)]
        with WireAssociation(self._address, context) as peer:
            while not self._stopping.is_set():
                number = next(numbers)
                sent = instance(series, number)
                self._note(series, sent, peer.store(sent, number % 65536).status)
            peer.release()

    def _note(self, series: int, sent: Instance, status: int) -> None:
        with self._changed:
            if status == 0x0000:
                self.acknowledged[series].append(sent)
            else:
                self.refused.append(status)
            self._changed.notify_all()
