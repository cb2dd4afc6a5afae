"""Decoders run apart: what goes wrong in one costs one frame, and nothing can be reached from there."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import imagecodecs
import numpy as np
import pytest
from structlog.testing import capture_logs

from pacsd.decoder.frames import Coding, EncodedFrame, Luminance
from pacsd.decoder.places import Places
from pacsd.decoder.pool import COMMAND, DecoderPool, InstanceDecoding, Loss
from pacsd.errors import DatasetInvalid, RetrieveCancelled, TranscodingFailed
from pacsd.observability.metrics import DECODER_LOSSES
from support.deadline import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ODD = Path(__file__).with_name("odd_decoder.py")
SAMPLES = np.random.default_rng(3).integers(0, 256, (64, 48)).astype(np.uint8)


def encoded(samples: np.ndarray[tuple[int, int], np.dtype[np.uint8]] = SAMPLES) -> tuple[EncodedFrame, bytes]:
    rows, columns = samples.shape
    frame = EncodedFrame(
        coding=Coding.JPEG_LS,
        rows=rows,
        columns=columns,
        samples=1,
        precision=8,
        stream_is_signed=False,
        bits_allocated=8,
        bits_stored=8,
        high_bit=7,
        is_signed=False,
        luminance=Luminance.NONE,
        data_end=0,
    )
    return frame, bytes(imagecodecs.jpegls_encode(samples))


FRAME, DATA = encoded()


@contextmanager
def pool(
    kind: str = "",
    *,
    processes: int = 1,
    seconds: float = 20,
    memory: int = 1 << 28,
    observe_loss: Callable[[Loss], None] = lambda _: None,
) -> Iterator[DecoderPool]:
    command = (sys.executable, str(ODD), kind) if kind else COMMAND
    opened = DecoderPool(
        processes=processes, seconds=seconds, memory=memory, command=command, observe_loss=observe_loss
    )
    try:
        yield opened
    finally:
        opened.close()


def decode(decoders: DecoderPool, *, within: float = 20) -> bytes:
    output = bytearray(b"before")
    decoders.decode(FRAME, [memoryview(DATA)[:9], memoryview(DATA)[9:]], output, within=within)
    return bytes(output.removeprefix(b"before"))


def only(decoders: DecoderPool) -> int:
    (pid,) = decoders.idle
    return pid


def test_one_process_decodes_frames_of_all_sizes() -> None:
    large = np.repeat(np.repeat(SAMPLES, 80, axis=0), 80, axis=1)
    large_frame, large_data = encoded(large)
    with pool() as decoders:
        first = None
        for _ in range(2):
            assert decode(decoders) == SAMPLES.tobytes()
            first = first or only(decoders)
            output = bytearray()
            decoders.decode(large_frame, [memoryview(large_data)], output, within=20)
            assert output == large.tobytes()
        assert only(decoders) == first


def test_a_frame_that_cannot_be_decoded_leaves_the_process_as_it_is() -> None:
    with pool() as decoders:
        decode(decoders)
        first = only(decoders)
        output = bytearray(b"before")
        for bad in (DATA[:50], b"", DATA[:20] + bytes(len(DATA))):
            with pytest.raises(DatasetInvalid, match="refuses it"):
                decoders.decode(FRAME, [memoryview(bad)], output, within=20)
        assert output == b"before"
        assert decode(decoders) == SAMPLES.tobytes()
        assert only(decoders) == first


def test_nothing_can_be_reached_from_a_decoder() -> None:
    with pool("reaches out") as decoders, capture_logs() as logs:
        assert decode(decoders) == bytes(SAMPLES.size)
        folder = Path(f"/proc/{only(decoders)}")
        status = dict(line.split(":", 1) for line in (folder / "status").read_text().splitlines())
        assert status["NoNewPrivs"].strip() == "1"
        opened = [str(file.readlink()).split(":")[0] for file in (folder / "fd").iterdir()]
        assert sorted(opened) == ["/dev/null"] * 3 + ["/memfd", "socket"]
    assert [line for line in logs if line["event"] == "decoder-not-confined"] == []


def test_a_decoder_is_given_no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PACSD_INDEX__URL", "postgresql://pacsd:secret@host/db")
    with pool() as decoders:
        decode(decoders)
        assert b"secret" not in Path(f"/proc/{only(decoders)}/environ").read_bytes()


@pytest.mark.parametrize(
    ("kind", "reason", "loss"),
    [
        ("hangs", "takes too long", Loss.TIMEOUT),
        ("takes all memory", "more memory than it may", Loss.MEMORY),
        ("ends", "ended with 3", Loss.CRASHED),
        ("says another length", "no answer", Loss.WRONG_ANSWER),
        ("says no known failure", "no answer", Loss.WRONG_ANSWER),
        ("says too much", "no answer", Loss.WRONG_ANSWER),
        ("says nothing", "ended by SIGKILL", Loss.CRASHED),
    ],
)
def test_what_goes_wrong_costs_one_frame(kind: str, reason: str, loss: Loss) -> None:
    output = bytearray()
    lost: list[Loss] = []
    with pool(kind, observe_loss=lost.append) as decoders:
        with pytest.raises(DatasetInvalid, match=reason):
            decoders.decode(FRAME, [memoryview(DATA)], output, within=1 if kind == "hangs" else 20)
        assert output == b""
        assert decoders.idle == []
    assert lost == [loss]


def test_a_decoder_that_is_killed_or_stopped_is_replaced() -> None:
    with pool() as decoders, capture_logs() as logs:
        decode(decoders)
        first = only(decoders)
        os.kill(first, signal.SIGKILL)  # while nobody needs it: nobody is hurt
        wait_until(lambda: Path(f"/proc/{first}/stat").read_text().split()[2] == "Z", within=5, what="dead")
        assert decode(decoders) == SAMPLES.tobytes()
        second = only(decoders)
        os.kill(second, signal.SIGSTOP)
        with pytest.raises(DatasetInvalid, match="takes too long"):
            decode(decoders, within=0.2)
        assert not Path(f"/proc/{second}").exists()
        assert decode(decoders) == SAMPLES.tobytes()
    assert [line["event"] for line in logs] == ["decoder-replaced"]


def test_a_decoder_that_is_killed_at_work_costs_that_frame() -> None:
    waits = threading.Event()
    failures: list[str] = []

    def work() -> None:
        try:
            decoders.decode(FRAME, [memoryview(DATA)], bytearray(), within=20, is_cancelled=is_cancelled)
        except DatasetInvalid as error:
            failures.append(str(error))

    def is_cancelled() -> bool:
        waits.set()
        return False

    with pool() as decoders:
        decode(decoders)
        pid = only(decoders)
        os.kill(pid, signal.SIGSTOP)
        thread = threading.Thread(target=work)
        thread.start()
        assert waits.wait(10)
        os.kill(pid, signal.SIGKILL)
        thread.join(10)
        assert failures == ["a frame cannot be decoded: its decoder was ended by SIGKILL"]
        assert decode(decoders) == SAMPLES.tobytes()


def test_who_cancels_does_not_wait() -> None:
    cancelled = threading.Event()
    ended: list[tuple[type[Exception], float]] = []

    def work(decoders: DecoderPool) -> None:
        decoding = InstanceDecoding(decoders, cancelled.is_set)
        try:
            decoding(FRAME, [memoryview(DATA)], bytearray())
        except Exception as error:
            ended.append((type(error), time.monotonic()))

    with pool("hangs", seconds=60) as decoders:
        threads = [threading.Thread(target=work, args=(decoders,)) for _ in range(3)]
        for thread in threads:
            thread.start()
        wait_until(lambda: bool(decoders.busy), within=20, what="one of them has the decoder")
        begin = time.monotonic()
        cancelled.set()
        for thread in threads:
            thread.join(10)
        assert [kind for kind, _ in ended] == [RetrieveCancelled] * 3
        assert max(when for _, when in ended) - begin < 10  # while a frame may take a minute


def test_a_decoder_at_work_for_nobody_is_lost() -> None:
    lost: list[Loss] = []
    with pool(observe_loss=lost.append) as decoders:
        decode(decoders)
        os.kill(only(decoders), signal.SIGSTOP)
        with pytest.raises(RetrieveCancelled):
            decoders.decode(FRAME, [memoryview(DATA)], bytearray(), within=20, is_cancelled=lambda: True)
    assert lost == [Loss.CANCELLED]


def test_all_losses_are_counted() -> None:
    assert set(DECODER_LOSSES) == set(Loss)


def test_who_cancels_does_not_wait_for_a_decoder_to_start() -> None:
    began = time.monotonic()
    with pool() as decoders:
        with pytest.raises(RetrieveCancelled):
            decoders.decode(FRAME, [memoryview(DATA)], bytearray(), within=20, is_cancelled=lambda: True)
        assert time.monotonic() - began < 0.5
        wait_until(lambda: len(decoders.idle) == 1, within=10, what="the decoder is kept for the next one")
        assert decode(decoders) == SAMPLES.tobytes()


def test_who_cancels_is_heard_between_frames() -> None:
    with pool() as decoders:
        output = bytearray()
        decoding = InstanceDecoding(decoders, lambda: len(output) > 0)

        def go_on() -> None:
            while True:
                decoding(FRAME, [memoryview(DATA)], output)

        with pytest.raises(RetrieveCancelled):
            go_on()
        assert output == SAMPLES.tobytes() * (len(output) // SAMPLES.size)
        assert len(decoders.idle) == 1


def test_all_frames_of_an_instance_share_its_time() -> None:
    """Each of them would have been in time by itself."""
    done: list[int] = []

    def wake() -> bool:
        os.kill(decoder, signal.SIGCONT)
        return False

    def decode_slowly(decoding: InstanceDecoding) -> None:
        for number in range(1000):
            os.kill(decoder, signal.SIGSTOP)
            decoding(FRAME, [memoryview(DATA)], bytearray())
            done.append(number)

    with pool(seconds=1) as decoders:
        decode(decoders)
        decoder = only(decoders)
        with pytest.raises(DatasetInvalid, match="takes too long"):
            decode_slowly(InstanceDecoding(decoders, wake))
    assert done


def test_places_are_given_in_turn_and_shared_between_processes() -> None:
    numbers = memoryview(bytearray(16)).cast("q")
    ours = Places(10, what="too many", taken=numbers, slot=0)
    theirs = Places(10, what="too many", taken=numbers, slot=1)
    order: list[str] = []

    def take(count: int, name: str) -> None:
        with ours.held(count, is_cancelled=lambda: False, within=20):
            order.append(name)

    with theirs.held(6, is_cancelled=lambda: False, within=1):
        first = threading.Thread(target=take, args=(8, "large"))
        first.start()
        wait_until(lambda: ours.waiting == 1, within=5, what="the large one waits")
        second = threading.Thread(target=take, args=(1, "small"))
        second.start()
        wait_until(lambda: ours.waiting == 2, within=5, what="the small one waits")
        with (
            pytest.raises(TranscodingFailed, match="too many"),
            theirs.held(5, is_cancelled=lambda: False, within=0.1),
        ):
            pass
    first.join(10)
    second.join(10)
    assert order == ["large", "small"]
    assert list(numbers) == [0, 0]


def test_a_decoder_outlives_the_thread_that_needed_it_but_not_the_process(tmp_path: Path) -> None:
    """The kernel ends it with the thread that has started it: that must not be one of an association's."""
    program = tmp_path / "program.py"
    program.write_text(
        "import sys, threading, time\n"
        f"sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "from test_decoder_pool import DecoderPool, decode\n"
        "decoders = DecoderPool(processes=1, seconds=20)\n"
        "thread = threading.Thread(target=decode, args=(decoders,))\n"
        "thread.start(); thread.join()\n"
        "first = decoders.idle\n"
        "decode(decoders)\n"
        "print(*first, *decoders.idle, flush=True)\n"
        "time.sleep(60)\n"
    )
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join(filter(None, sys.path)))
    with subprocess.Popen([sys.executable, str(program)], stdout=subprocess.PIPE, env=environment) as process:
        assert process.stdout is not None
        first, second = map(int, process.stdout.readline().split())
        assert first == second
        os.kill(second, signal.SIGSTOP)  # so that it does not see its channel closed
        process.kill()
    wait_until(lambda: not Path(f"/proc/{second}").exists(), within=10, what="the decoder is gone")
