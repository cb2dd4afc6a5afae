"""The decoder process: `python -m pacsd.decoder CHANNEL PARENT`, a file descriptor and the id of who has started it.

It waits on its channel for frames, decodes one after the other, and ends with whoever holds the other end.
"""

from __future__ import annotations

import mmap
import os
import signal
import socket
import sys
from itertools import accumulate, pairwise

from pacsd.decoder.confinement import address_space, confine, die_with_parent
from pacsd.decoder.frames import HELLO, KEPT_MAP, RESPONSE, EncodedFrame, Failure

REQUEST_LENGTH = 1024
"""Bytes; more than a request has."""


def main() -> int:
    """Decode until nobody is there any more; return the exit status."""
    channel, parent = socket.socket(fileno=int(sys.argv[1])), int(sys.argv[2])
    # A service manager may signal all processes, while the worker still needs this one: it ends with the channel.
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    if not die_with_parent(parent):
        return 1
    from pacsd.decoder import codecs  # noqa: F401, PLC0415 - loaded while files can be opened

    size = address_space()
    channel.send(HELLO.pack(confine(), size))
    serve(channel)
    return 0


def serve(channel: socket.socket) -> None:
    """Answer each request, until the channel is closed."""
    shared: mmap.mmap | None = None
    while True:
        request, descriptors, _, _ = socket.recv_fds(channel, REQUEST_LENGTH, 1)
        if not request:
            return
        frame, lengths, map_length = EncodedFrame.from_bytes(request)
        for descriptor in descriptors:
            shared = mmap.mmap(descriptor, map_length)
            os.close(descriptor)
        if shared is None:
            return
        failure, decoded = answer(frame, lengths, shared)
        if map_length > KEPT_MAP:
            shared.close()
            shared = None
        channel.send(RESPONSE.pack(failure, decoded))


def answer(frame: EncodedFrame, lengths: tuple[int, ...], shared: mmap.mmap) -> tuple[Failure, int]:
    """Decode the frames in the shared memory and put the samples in their place; return how many bytes these are."""
    import numpy as np  # noqa: PLC0415 - is there already

    from pacsd.decoder.codecs import UndecodableError, decode  # noqa: PLC0415 - as well

    begins = [0, *accumulate(lengths)]
    decoded = 0
    try:
        # All of them first, as samples are written over what has not been decoded yet.
        for data in [shared[begin:end] for begin, end in pairwise(begins)]:
            samples = decode(frame, data)
            if samples.nbytes != frame.decoded_length:
                return Failure.SHAPE, 0
            np.copyto(np.ndarray(samples.shape, samples.dtype, buffer=shared, offset=decoded), samples)
            decoded += samples.nbytes
    except UndecodableError as error:
        return error.failure, 0
    except MemoryError:
        return Failure.MEMORY, 0
    except Exception:
        # Decoders raise whatever they like.
        return Failure.DECODER, 0
    return Failure.NONE, decoded


if __name__ == "__main__":
    sys.exit(main())
