"""The addresses of hosts: resolved in the background, kept while the resolver fails, and never waited for."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from pacsd.scp.host_addresses import HostAddresses, RememberedAddresses, resolve_host
from support.deadline import wait_until

WITHIN = 10.0


class Resolver:
    """Answers out of `known`; what is not there fails, and in `silent` waits until the test lets it go."""

    def __init__(self, **known: str) -> None:
        self.known = {name: frozenset(addresses.split()) for name, addresses in known.items()}
        self.silent: set[str] = set()
        self.let_go = threading.Event()
        self.asked: list[str] = []

    def __call__(self, host: str) -> frozenset[str]:
        self.asked.append(host)
        if host in self.silent:
            self.let_go.wait(WITHIN)
        if host not in self.known:
            raise OSError("Temporary failure in name resolution")
        return self.known[host]


@contextmanager
def looked_up(
    resolver: Resolver, *hosts: str, remembered: RememberedAddresses | None = None, again: float = 0.01
) -> Iterator[HostAddresses]:
    addresses = HostAddresses(
        hosts, resolve=resolver, remembered=remembered, refresh_seconds=again, retry_seconds=again
    )
    addresses.start()
    try:
        yield addresses
    finally:
        addresses.stop()
        resolver.let_go.set()


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("127.0.0.2", "127.0.0.2"),
        ("2001:DB8::7", "2001:db8::7"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
    ],
)
def test_an_address_is_known_at_once_and_nobody_is_asked(host: str, address: str) -> None:
    resolver = Resolver()
    with looked_up(resolver, host) as addresses:
        assert addresses.of(host) == {address}
    assert resolver.asked == []


def test_a_name_is_resolved_and_resolved_again() -> None:
    resolver = Resolver(ws="192.0.2.1 2001:db8::1")
    with looked_up(resolver, "ws") as addresses:
        addresses.wait_until_tried(WITHIN)
        assert addresses.of("ws") == {"192.0.2.1", "2001:db8::1"}
        assert addresses.of("other") is None
        resolver.known["ws"] = frozenset({"192.0.2.2"})
        wait_until(lambda: addresses.of("ws") == {"192.0.2.2"}, within=WITHIN, what="the change is seen")


def test_last_addresses_hold_while_the_resolver_fails_and_the_log_says_so_once() -> None:
    resolver = Resolver(ws="192.0.2.1")
    with capture_logs() as logs, looked_up(resolver, "ws", "never") as addresses:
        addresses.wait_until_tried(WITHIN)
        del resolver.known["ws"]
        wait_until(lambda: len(logs) == 2, within=WITHIN, what="both are told")
        count = len(resolver.asked)
        wait_until(lambda: len(resolver.asked) > count + 6, within=WITHIN, what="it goes on asking")
        assert addresses.of("ws") == {"192.0.2.1"}
        assert addresses.of("never") is None
        resolver.known["ws"] = frozenset({"192.0.2.9"})
        wait_until(lambda: addresses.of("ws") == {"192.0.2.9"}, within=WITHIN, what="it is back")
    told = {(each["event"], each["host"]): each for each in logs}
    assert len(logs) == len(told) == 3
    assert told["host-not-resolved", "ws"]["last_known"] == ["192.0.2.1"]
    assert "host-resolved-again" in {event for event, _ in told}


def test_a_silent_resolver_delays_nobody() -> None:
    resolver = Resolver(good="192.0.2.1")
    resolver.silent.add("bad")
    with looked_up(resolver, "bad", "good") as addresses:
        wait_until(lambda: addresses.of("good") is not None, within=WITHIN, what="the other one is known")
        assert addresses.of("bad") is None
        addresses.wait_until_tried(0.01)
        assert not resolver.let_go.is_set()


def test_a_successor_starts_with_what_was_known(tmp_path: Path) -> None:
    remembered = RememberedAddresses(tmp_path)
    with looked_up(Resolver(ws="192.0.2.1"), "ws", remembered=remembered) as addresses:
        addresses.wait_until_tried(WITHIN)
    for failing in (Resolver(), Resolver()):
        failing.silent.add("ws")
        with looked_up(failing, "ws", "127.0.0.1", remembered=remembered) as successor:
            assert successor.of("ws") == {"192.0.2.1"}
    assert [file.suffix for file in tmp_path.iterdir()] == [".addresses"]


def test_what_cannot_be_remembered_is_resolved_all_the_same(tmp_path: Path) -> None:
    remembered = RememberedAddresses(tmp_path / "missing")
    with capture_logs() as logs, looked_up(Resolver(ws="192.0.2.1"), "ws", remembered=remembered) as found:
        found.wait_until_tried(WITHIN)
        assert found.of("ws") == {"192.0.2.1"}
    assert {each["event"] for each in logs} == {"host-addresses-not-remembered"}


def test_the_system_is_asked() -> None:
    assert "127.0.0.1" in resolve_host("localhost")
    with pytest.raises(UnicodeError):
        resolve_host("x" * 300)
