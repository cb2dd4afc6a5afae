"""`pacsd echo`."""

import time

from pacsd.cli.options import ConfigFile
from pacsd.cli.peer import Called, Calling, Host, PeerName, Port, Timeout, call_to
from pacsd.cli.security import (
    Authorities,
    Certificate,
    CheckName,
    PasswordFile,
    PrivateKey,
    Security,
    Tls,
)
from pacsd.cli.terminal import say

__all__ = ["echo"]

VERIFICATION = "1.2.840.10008.1.1"


def echo(
    host: Host = None,
    port: Port = None,
    *,
    calling: Calling = None,
    called: Called = None,
    peer: PeerName = None,
    timeout: Timeout = None,
    tls: Tls = False,
    ca: Authorities = None,
    cert: Certificate = None,
    private_key: PrivateKey = None,
    private_key_password_file: PasswordFile = None,
    check_name: CheckName = True,
    config: ConfigFile = None,
) -> None:
    """Verify the connection to a peer (C-ECHO) and print status and round trip time."""
    # Here and not above: no other command should have to wait for it.
    from dicomnet import DicomNet, StatusClass  # noqa: PLC0415
    from pacsd.scu.association import association  # noqa: PLC0415
    from pacsd.scu.querying import query_proposals  # noqa: PLC0415
    from pacsd.scu.verdicts import RequestFailed, verdict  # noqa: PLC0415

    call = call_to(
        host,
        port,
        peer=peer,
        calling=calling,
        called=called,
        timeout=timeout,
        security=Security(tls, ca, cert, private_key, check_name, private_key_password_file),
        config=config,
    )
    with association(
        DicomNet(call.configuration),
        call.peer,
        query_proposals(VERIFICATION),
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
