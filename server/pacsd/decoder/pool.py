"""The decoder processes of one worker: started when they are needed, used again, replaced when they are lost.

A decoder that overruns its time is killed, and its memory is bounded from outside. That costs the one frame.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from enum import StrEnum
from typing import Final

import structlog

from pacsd.decoder.frames import HELLO, KEPT_MAP, RESPONSE, EncodedFrame, Failure, Missing
from pacsd.decoder.places import LOOK_INTERVAL, Places
from pacsd.effort import now_and_then
from pacsd.errors import DatasetInvalid, RetrieveCancelled, TranscodingFailed

__all__ = ["DecoderPool", "InstanceDecoding", "Loss"]

_log = structlog.get_logger()

COMMAND: Final = (sys.executable, "-P", "-m", "pacsd.decoder")
START_SECONDS: Final = 30.0
"""That a new process may take until it is ready."""
BYTES_PER_SECOND: Final = 4_000_000
"""Decoded at least; the slowest decoder does ten times as many on an ordinary machine."""
SPARE_ADDRESS_SPACE: Final = 256 << 20
"""Bytes that a decoder may take beyond what a frame's size explains."""
BYTES_PER_DECODED_BYTE: Final = 12
"""JPEG 2000 and JPEG XL take the most, some 7."""
MAP_UNIT: Final = 1 << 20
COPIED_AT_ONCE: Final = 1 << 20
"""Bytes, so that other threads need not wait for a large frame to be copied."""
ENVIRONMENT: Final = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    # Memory for a frame is kept for the next one: to get it from the kernel each time takes as long as some decoders.
    "MALLOC_MMAP_THRESHOLD_": str(16 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(32 << 20),
}

REASONS: Final = {
    Failure.DECODER: "a frame cannot be decoded: its decoder refuses it",
    Failure.TRUNCATED: "a frame's codestream is truncated: its data end before its last sample",
    Failure.SHAPE: "a frame decodes to other samples than its stream and the header have",
    Failure.MEMORY: "a frame cannot be decoded: it takes more memory than it may",
}


class Loss(StrEnum):
    """Why a decoder has to be replaced."""

    TIMEOUT = "timeout"
    """It took longer than it may, and was killed."""
    CRASHED = "crashed"
    """It ended by itself."""
    MEMORY = "memory"
    """It needed more than it may have."""
    WRONG_ANSWER = "wrong-answer"
    """It said what none says that is as it was."""
    CANCELLED = "cancelled"
    """Nobody waited for its frame any more: it was killed, and is as good as ever."""
    OTHER = "other"


class _LostError(DatasetInvalid):
    """A frame has cost its decoder."""

    def __init__(self, message: str, loss: Loss) -> None:
        super().__init__(message)
        self.loss = loss


class DecoderPool:
    """At most `processes` decoders, for all threads of a process; `close` ends them.

    `seconds` is what decoding an instance may take besides one for each `BYTES_PER_SECOND`; a frame waits as long for
    its turn. `memory`, bytes, is what one decoder may take at most, besides what any of them takes. `command` is what
    is started, and given its channel and our process id as arguments. `observe_loss` is told of each that is lost.
    """

    def __init__(
        self,
        *,
        processes: int,
        seconds: float,
        memory: int = 1 << 31,
        command: Sequence[str] = COMMAND,
        observe_loss: Callable[[Loss], None] = lambda _: None,
    ) -> None:
        self.seconds = seconds
        self._processes = processes
        self._memory = memory
        self._places = Places(processes, what="too many other frames are being decoded")
        self._command = command
        self._observe_loss = observe_loss
        self._idle: list[_Decoder] = []
        # The kernel ends a decoder with the thread that has started it: this one stays until the process ends.
        self._starter = ThreadPoolExecutor(1, "decoder starter")
        self._has_told = False

    def close(self) -> None:
        """End all processes; none may be in use."""
        self._starter.shutdown()
        while self._idle:
            self._idle.pop().kill()

    @property
    def idle(self) -> list[int]:
        """The ids of the processes that wait for work."""
        return [decoder.pid for decoder in self._idle]

    @property
    def busy(self) -> int:
        """How many frames are being decoded."""
        return self._places.own

    def decode(
        self,
        frame: EncodedFrame,
        fragments: Sequence[memoryview],
        onto: bytearray,
        *,
        within: float,
        is_cancelled: Callable[[], bool] = lambda: False,
        lengths: Sequence[int] = (),
    ) -> float:
        """Append the decoded frame, and return how many seconds its decoder took.

        Or several frames that are all like this one, MOST_FRAMES at most, each of as many bytes as `lengths` says.

        Raises DatasetInvalid where it cannot be decoded, or not within its memory and `within` so many seconds;
        TranscodingFailed where no decoder is to be had; RetrieveCancelled.
        """
        with self._places.held(1, is_cancelled=is_cancelled, within=self.seconds):
            decoder = self._idle_decoder() or self._new_decoder(is_cancelled)
            begin = time.monotonic()
            try:
                failure = decoder.decode(frame, fragments, onto, within, is_cancelled, lengths)
            except BaseException as error:
                decoder.kill()
                self._observe_loss(_loss_by(error))
                if isinstance(error, DatasetInvalid):
                    _log.warning("decoder-replaced", coding=frame.coding.value, reason=str(error))
                if isinstance(error, OSError):
                    # Not as its cause: there it would be the stored file's.
                    raise TranscodingFailed(f"not convertible now: {error.strerror or error}") from None
                raise
            if failure is Failure.MEMORY:
                decoder.kill()  # nobody knows what state it is in
                self._observe_loss(Loss.MEMORY)
            else:
                self._idle.append(decoder)
        if failure is not Failure.NONE:
            raise DatasetInvalid(REASONS[failure])
        return time.monotonic() - begin

    def _idle_decoder(self) -> _Decoder | None:
        while True:
            try:
                decoder = self._idle.pop()
            except IndexError:
                return None
            if decoder.is_alive:
                return decoder
            decoder.kill()
            self._observe_loss(Loss.CRASHED)

    def _new_decoder(self, is_cancelled: Callable[[], bool]) -> _Decoder:
        starting = self._starter.submit(self._started)
        while not starting.done():
            wait([starting], LOOK_INTERVAL)
            if is_cancelled():
                if not starting.cancel():
                    starting.add_done_callback(self._keep)
                raise RetrieveCancelled("the retrieve was cancelled")
        return starting.result()

    def _keep(self, starting: Future[_Decoder]) -> None:
        """Let a decoder, for which nobody waits any more, be the next one's."""
        if starting.exception() is None:
            decoder = starting.result()
            if len(self._idle) + self.busy < self._processes:
                self._idle.append(decoder)
            else:
                decoder.kill()

    def _started(self) -> _Decoder:
        try:
            decoder = _Decoder(self._command, self._memory)
        except OSError as error:
            raise TranscodingFailed(f"no decoder process can be started: {error.strerror or error}") from None
        if decoder.missing and not self._has_told:
            self._has_told = True
            names = [
                each.name.lower().replace("_", "-")
                for each in Missing
                if each in decoder.missing and each.name
            ]
            _log.warning("decoder-not-confined", keeps=names)
        return decoder


class InstanceDecoding:
    """The decoding of one instance's frames, which together may take as long as their size allows."""

    def __init__(self, pool: DecoderPool, is_cancelled: Callable[[], bool] = lambda: False) -> None:
        self._pool = pool
        self._is_cancelled = is_cancelled
        self._look = now_and_then(is_cancelled)
        self._left = pool.seconds

    def __call__(
        self,
        frame: EncodedFrame,
        fragments: Sequence[memoryview],
        onto: bytearray,
        lengths: Sequence[int] = (),
    ) -> None:
        """Append the decoded frame, or frames; see `DecoderPool.decode`, which also says what it raises."""
        self._look()
        self._left += max(1, len(lengths)) * frame.decoded_length / BYTES_PER_SECOND
        spent = self._pool.decode(
            frame,
            fragments,
            onto,
            within=self._left,
            is_cancelled=self._is_cancelled,
            lengths=lengths,
        )
        self._left -= spent


class _Decoder:
    """One process. For one thread at a time."""

    def __init__(self, command: Sequence[str], memory: int) -> None:
        """Start it, and wait until it is confined; raises OSError."""
        self._memory = memory
        self._limit = 0
        self._map: mmap.mmap | None = None
        self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            with theirs:
                self._process = subprocess.Popen(
                    [*command, str(theirs.fileno()), str(os.getpid())],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    pass_fds=(theirs.fileno(),),
                    env=_environment(),
                )
        except BaseException:
            self._channel.close()
            raise
        try:
            self.missing, self._own_address_space = self._greeted()
        except BaseException:
            self.kill()
            raise
        self._channel.settimeout(LOOK_INTERVAL)

    def _greeted(self) -> tuple[Missing, int]:
        self._channel.settimeout(START_SECONDS)
        hello = self._channel.recv(HELLO.size + 1)
        if len(hello) != HELLO.size:
            raise OSError(0, f"it {self._how_it_ended()}")
        missing, address_space = HELLO.unpack(hello)
        return Missing(missing), address_space

    @property
    def pid(self) -> int:
        return self._process.pid

    def decode(
        self,
        frame: EncodedFrame,
        fragments: Sequence[memoryview],
        onto: bytearray,
        within: float,
        is_cancelled: Callable[[], bool],
        lengths: Sequence[int],
    ) -> Failure:
        """Append the decoded frame, or frames, or return why there is none.

        Raises DatasetInvalid or RetrieveCancelled where the process is of no use any more.
        """
        length = sum(map(len, fragments))
        lengths = lengths or (length,)
        decoded_length = len(lengths) * frame.decoded_length
        shared, descriptor = self._shared(max(length, decoded_length))
        try:
            position = 0
            for fragment in fragments:
                for place in range(0, len(fragment), COPIED_AT_ONCE):
                    piece = fragment[place : place + COPIED_AT_ONCE]
                    shared[position : position + len(piece)] = piece
                    position += len(piece)
            self._limit_memory(length, decoded_length, len(shared))
            request = frame.to_bytes(lengths, len(shared))
            if descriptor is None:
                self._channel.send(request)
            else:
                socket.send_fds(self._channel, [request], [descriptor])
            answer = self._answer(time.monotonic() + within, is_cancelled)
        except (ConnectionError, ProcessLookupError):
            answer = b""
        finally:
            if descriptor is not None:
                os.close(descriptor)
        if not answer:
            raise _LostError(f"a frame cannot be decoded: its decoder {self._how_it_ended()}", Loss.CRASHED)
        number, answered_length = RESPONSE.unpack(answer) if len(answer) == RESPONSE.size else (None, 0)
        if number == Failure.NONE and answered_length == decoded_length:
            with memoryview(shared) as view:
                for place in range(0, decoded_length, COPIED_AT_ONCE):
                    onto += view[place : min(place + COPIED_AT_ONCE, decoded_length)]
        elif number not in REASONS:
            raise _LostError(
                "a frame cannot be decoded: its decoder answers what is no answer", Loss.WRONG_ANSWER
            )
        if len(shared) > KEPT_MAP:
            shared.close()
            self._map = None
        return Failure(number)

    def _shared(self, length: int) -> tuple[mmap.mmap, int | None]:
        """Return shared memory of at least so many bytes, and its descriptor where the process has yet to map it."""
        if self._map is not None and len(self._map) >= length:
            return self._map, None
        if self._map is not None:
            self._map.close()
        size = -(-length // MAP_UNIT) * MAP_UNIT
        descriptor = os.memfd_create("frame", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            os.ftruncate(descriptor, size)
            # Memory that the other side could cut off would end this process by SIGBUS.
            fcntl.fcntl(
                descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
            )
            self._map = mmap.mmap(descriptor, size)
        except BaseException:
            os.close(descriptor)
            raise
        return self._map, descriptor

    def _limit_memory(self, length: int, decoded_length: int, map_length: int) -> None:
        """Bound the address space of the process to what the next frame may take."""
        wanted = map_length + 4 * length + BYTES_PER_DECODED_BYTE * decoded_length
        limit = self._own_address_space + SPARE_ADDRESS_SPACE + min(wanted, self._memory)
        if limit != self._limit:
            _, hard = resource.prlimit(self.pid, resource.RLIMIT_AS)
            bounded = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
            resource.prlimit(self.pid, resource.RLIMIT_AS, (bounded, hard))
            self._limit = limit

    def _answer(self, deadline: float, is_cancelled: Callable[[], bool]) -> bytes:
        while True:
            try:
                return self._channel.recv(RESPONSE.size + 1)
            except TimeoutError:
                if is_cancelled():
                    raise RetrieveCancelled("the retrieve was cancelled") from None
                if time.monotonic() >= deadline:
                    raise _LostError(
                        "a frame cannot be decoded: its decoder takes too long", Loss.TIMEOUT
                    ) from None

    @property
    def is_alive(self) -> bool:
        return self._process.poll() is None

    def _how_it_ended(self) -> str:
        """Say how, after the process has closed its channel."""
        self._process.kill()
        code = self._process.wait()
        return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with {code}"

    def kill(self) -> None:
        """End the process at once; may be called again."""
        self._channel.close()
        self._process.kill()
        self._process.wait()
        if self._map is not None:
            self._map.close()
            self._map = None


def _loss_by(error: BaseException) -> Loss:
    if isinstance(error, _LostError):
        return error.loss
    return Loss.CANCELLED if isinstance(error, RetrieveCancelled) else Loss.OTHER


def _environment() -> dict[str, str]:
    """Return what finds the interpreter's modules, and no more: a server's environment may hold passwords."""
    kept = ("PYTHONPATH", "PYTHONHOME", "LD_LIBRARY_PATH", "VIRTUAL_ENV")
    return {name: os.environ[name] for name in kept if name in os.environ} | ENVIRONMENT
