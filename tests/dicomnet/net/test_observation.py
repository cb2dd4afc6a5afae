"""PDUs found in what passes, however it is cut."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from tests.dicomnet.upper_layer.strategies import chunkings, pdus

from dicomnet import DatasetTooLong, DicomNet
from dicomnet.net.observation import Observation
from dicomnet.upper_layer import pdu
from dicomnet.upper_layer.writer import write_pdu


class Watching(DicomNet):
    def __init__(self) -> None:
        super().__init__()
        self.received: list[bytes] = []
        self.errors: list[Exception] = []

    def on_receive(self, error: Exception | None, pdu_type: int, pdu: bytes) -> None:
        if error is not None:
            self.errors.append(error)
        else:
            assert pdu[0] == pdu_type
            self.received.append(pdu)


@given(sent=st.lists(pdus(), max_size=4).map(lambda values: list(map(write_pdu, values))), data=st.data())
def test_every_pdu_is_found(sent: list[bytes], data: st.DataObject) -> None:
    net = Watching()
    observation = Observation(net, 1 << 20)
    for chunk in data.draw(chunkings(b"".join(sent))):
        observation.received(memoryview(chunk))
    assert net.received == sent
    assert net.errors == []


@given(length=st.integers(95, 3000), data=st.data())
def test_pdu_that_is_too_long_is_not_held(length: int, data: st.DataObject) -> None:
    net, release = Watching(), write_pdu(pdu.ReleaseRequest())
    observation = Observation(net, 100)
    stream = release + b"\4\0" + length.to_bytes(4, "big") + bytes(length) + release
    for chunk in data.draw(chunkings(stream)):
        observation.received(memoryview(chunk))
        assert len(observation._held) <= 100
    assert net.received == [release, release]
    assert [type(error) for error in net.errors] == [DatasetTooLong]


def test_nobody_watches_who_does_not_look() -> None:
    assert Observation.of(DicomNet(), 100) is None
    assert Observation.of(Watching(), 100) is not None
