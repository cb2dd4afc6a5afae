"""The entries of servers.toml, and what the command line makes of its arguments."""

from __future__ import annotations

import tomllib

import pytest

from harness import entries
from harness.command_line import parser
from harness.errors import ServerError

BASE = {"name": "base", "command": "serve", "files": {"a.conf": {"text": "port {port}\nname x\n"}}}


def test_a_variant_edits_what_it_inherits():
    edited = {"name": "own", "extends": "base", "edit": {"a.conf": {"find": "name x", "replace": "name y"}}}
    entry = entries.resolve({"base": BASE, "own": edited}, "own")
    assert (entry["name"], entry["command"]) == ("own", "serve")
    assert entry["files"] == {"a.conf": "port {port}\nname y\n"}


def test_a_variant_of_a_variant_keeps_both_edits():
    first = {"name": "1", "extends": "base", "edit": {"a.conf": {"find": "x", "replace": "y z"}}}
    second = {"name": "2", "extends": "1", "edit": {"a.conf": {"find": "z", "replace": "!"}}}
    entry = entries.resolve({"base": BASE, "1": first, "2": second}, "2")
    assert entry["files"] == {"a.conf": "port {port}\nname y !\n"}


def test_an_edit_that_finds_nothing_is_an_error():
    edited = {"name": "own", "extends": "base", "edit": {"a.conf": {"find": "absent", "replace": ""}}}
    with pytest.raises(ServerError, match=r"own: the text to edit is not in a\.conf"):
        entries.resolve({"base": BASE, "own": edited}, "own")


def test_an_unknown_server_is_named_with_those_that_are_known():
    with pytest.raises(ServerError, match="unknown server 'nobody'; known: base"):
        entries.resolve({"base": BASE}, "nobody")


def test_only_known_names_in_braces_are_replaced():
    assert entries.expand('{"Port": {port}, "x": {other}}', {"port": 104}) == '{"Port": 104, "x": {other}}'


def test_every_server_of_the_file_resolves():
    known = entries.load_entries([entries.SERVERS_FILE])
    assert {"pacsd", "pacsd-w1", "orthanc", "dcmqrscp", "qrscp", "sink", "sink-fsync"} <= set(known)
    for name in known:
        assert entries.resolve(known, name)["command"]


def test_pacsd_is_measured_with_default_settings():
    known = entries.load_entries([entries.SERVERS_FILE])
    measured = tomllib.loads(
        entries.resolve(known, "pacsd")["files"]["pacsd.toml"]
        .replace("{port}", "1")
        .replace("{http_port}", "2")
        .replace("{dest_port}", "3")
    )
    set_keys = {
        f"{table}.{key}" for table, keys in measured.items() if isinstance(keys, dict) for key in keys
    }
    assert set_keys == {
        "dicom.ae_title", "dicom.host", "dicom.port", "storage.root", "index.url", "http.port",
        # One client stands for all of a hospital's.
        "limits.associations_per_address", "limits.associations_per_title",
    }  # fmt: skip
    assert {key for peer in measured["peer"] for key in peer} == {"ae_title", "host", "port"}


def test_lists_of_the_command_line_are_split_and_checked(capsys):
    options = parser().parse_args(
        ["store,idle", "--assoc", "1,8", "--ack", "quick,nagle", "--servers", "sink"]
    )
    assert (options.parts, options.assoc, options.ack) == (["store", "idle"], [1, 8], ["quick", "nagle"])
    assert (options.kinds, options.servers, options.pdu) == (["ct", "small"], ["sink"], [131072])
    for wrong in (["nonsense"], ["store", "--kinds", "ct,huge"], ["store", "--assoc", "0"]):
        with pytest.raises(SystemExit) as ended:
            parser().parse_args(wrong)
        assert ended.value.code == 2
    assert "huge in 'ct,huge'; known: small, mr, ct, large" in capsys.readouterr().err
