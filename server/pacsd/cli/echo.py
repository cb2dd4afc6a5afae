"""`pacsd echo`."""

import time

from pacsd.cli.peer import Connection, calls_a_peer
from pacsd.cli.terminal import say

__all__ = ["echo"]


@calls_a_peer
def echo(
    *,
    connection: Connection,
) -> None:
    """Verify the connection to a peer (C-ECHO) and print status and round trip time."""
    # Here and not above: no other command should have to wait for it.
    from dicomnet import DicomNet, StatusClass  # noqa: PLC0415
    from dicomnet.uids import VERIFICATION_SOP_CLASS  # noqa: PLC0415
    from pacsd.scu.association import association  # noqa: PLC0415
    from pacsd.scu.querying import query_proposals  # noqa: PLC0415
    from pacsd.scu.verdicts import RequestFailed, verdict  # noqa: PLC0415

    call = connection.call()
    with association(
        DicomNet(call.configuration),
        call.peer,
        query_proposals(VERIFICATION_SOP_CLASS),
        calling_ae_title=call.calling_ae_title,
    ) as net:
        begin = time.perf_counter()
        response = net.c_echo()
        milliseconds = (time.perf_counter() - begin) * 1000
    if response.status_class is not StatusClass.SUCCESS:
        raise RequestFailed(f"C-ECHO: {verdict(response)}")
    say(
        f"{call.peer.ae_title} at {call.peer.host}:{call.peer.port}: {verdict(response)}, {milliseconds:.1f} ms"
    )
