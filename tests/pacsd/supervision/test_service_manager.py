"""What a service manager hears, and that nothing depends on there being one."""

from __future__ import annotations

import os
import socket

from pacsd.supervision.service_manager import ServiceManager


def test_on_a_socket_without_a_file() -> None:
    name = f"pacsd-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(f"\0{name}")
        listening.settimeout(10)
        manager = ServiceManager({"NOTIFY_SOCKET": f"@{name}", "WATCHDOG_USEC": "3000000"})
        manager.say_once("READY=1")
        manager.say_once("READY=1")
        for now in (100.0, 100.9, 101.1):
            manager.feed_watchdog(now)
        manager.say_once("STOPPING=1")
        heard = [listening.recv(100) for _ in range(4)]
    assert heard == [b"READY=1", b"WATCHDOG=1", b"WATCHDOG=1", b"STOPPING=1"]


def test_the_watchdog_of_another_process_is_not_fed() -> None:
    manager = ServiceManager({"NOTIFY_SOCKET": "@x", "WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "1"})
    assert manager.interval is None


def test_without_one_and_with_one_that_is_gone_nothing_happens() -> None:
    for environment in ({}, {"NOTIFY_SOCKET": "/nowhere/notify"}, {"WATCHDOG_USEC": "3000000"}):
        manager = ServiceManager(environment)
        manager.say_once("READY=1")
        manager.feed_watchdog(100.0)
