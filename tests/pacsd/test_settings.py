"""The configuration: defaults, the shipped file, the environment, and what a wrong one says."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from pacsd.configuration import load_settings
from pacsd.configuration_errors import known_keys
from pacsd.configuration_lines import key_lines
from pacsd.errors import ConfigurationError
from pacsd.model import DuplicatePolicy
from pacsd.settings import AeTitle, ServerSettings, Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

PEER = '[[peer]]\nae_title = "CT1"\nhost = "ct"\nport = 104\n'
SHIPPED = Path(__file__).parents[2] / "config" / "pacsd.toml"


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in os.environ:
        if name.upper().startswith("PACSD_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def configuration(tmp_path: Path) -> Callable[[str], Path]:
    def write(text: str) -> Path:
        file = tmp_path / "test.toml"
        file.write_text(text, encoding="utf-8")
        return file

    return write


def _refusal(path: Path | None = None) -> str:
    with pytest.raises(ConfigurationError) as caught:
        load_settings(path)
    return str(caught.value)


class TestShippedFile:
    def test_its_values_are_the_defaults(self) -> None:
        assert load_settings(SHIPPED).model_copy(update={"peer": ()}) == Settings()

    def test_each_setting_stands_in_it_with_its_default(self) -> None:
        """Also those that are commented out because their default is to be absent."""
        text = SHIPPED.read_text(encoding="utf-8")
        written = {".".join(str(key) for key in path if key != 0) for path in key_lines(text)}
        commented = {
            line.removeprefix("# ").partition(" = ")[0] for line in text.splitlines() if line.startswith("# ")
        }
        absent = set(known_keys(Settings)) - written
        files = (
            "certificate",
            "private_key",
            "private_key_password",
            "private_key_password_file",
            "ca",
            "crl",
        )
        others = {"index.password_file", "access.move_to"}
        others |= {f"peer.{name}" for name in ("check_host", "move_to")}
        others |= {f"peer.{name}" for name in ("character_set", "default_character_set")}
        assert absent == {f"dicom.tls.{name}" for name in files} | others
        assert {key.rpartition(".")[2] for key in absent} <= commented

    def test_it_knows_one_peer_with_all_permissions(self) -> None:
        peer = load_settings(SHIPPED).find_peer("WORKSTATION")
        assert peer is not None
        assert (peer.host, peer.port) == ("127.0.0.1", 11113)
        assert peer.allow == ("echo", "store", "find", "move", "get")


class TestPorts:
    @pytest.mark.parametrize(
        ("text", "refusal"),
        [
            ("[dicom]\nport = 8080", "http.port: 8080 is dicom.port, too; choose another"),
            (
                "[dicom.tls]\nenabled = true\nport = 11112",
                "dicom.tls.port: 11112 is dicom.port, too; choose another",
            ),
            (
                '[dicom]\nhost = "::"\n[http]\nport = 11112',
                "http.port: 11112 is dicom.port, too; choose another",
            ),
        ],
    )
    def test_two_cannot_have_one(self, configuration: Callable[[str], Path], text: str, refusal: str) -> None:
        assert _refusal(configuration(text)).endswith(refusal)

    @pytest.mark.parametrize(
        "text",
        [
            '[dicom]\nport = 8080\nhost = "127.0.0.2"',
            '[dicom]\nport = 8080\n[http]\nhost = "::1"',
            "[dicom]\nport = 8080\n[http]\nenabled = false",
            "[dicom]\nport = 0\n[http]\nport = 0",
        ],
    )
    def test_each_has_its_own(self, configuration: Callable[[str], Path], text: str) -> None:
        load_settings(configuration(text))


class TestWhichFile:
    def test_without_any_file_the_defaults_hold(self) -> None:
        assert load_settings() == Settings()

    def test_the_default_file_is_found_in_the_working_directory(self) -> None:
        Path("config").mkdir()
        Path("config/pacsd.toml").write_text("dicom.port = 104", encoding="utf-8")
        assert load_settings().dicom.port == 104

    def test_the_environment_names_it(
        self, configuration: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("PACSD_CONFIG", str(configuration("dicom.port = 104")))
        assert load_settings().dicom.port == 104

    def test_an_argument_beats_the_environment(
        self, configuration: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("PACSD_CONFIG", "nowhere.toml")
        assert load_settings(configuration("dicom.port = 104")).dicom.port == 104

    @pytest.mark.parametrize("how", ["argument", "environment"])
    def test_a_named_file_that_is_missing_is_an_error(
        self, how: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("PACSD_CONFIG", "nowhere.toml")
        assert "nowhere.toml" in _refusal(Path("nowhere.toml") if how == "argument" else None)

    def test_a_byte_order_mark_is_none_of_the_text(self, tmp_path: Path) -> None:
        file = tmp_path / "notepad.toml"
        file.write_bytes(b"\xef\xbb\xbf[dicom]\r\nport = 104\r\n")
        assert load_settings(file).dicom.port == 104
        file.write_bytes(b"\xef\xbb\xbf[dicom]\r\nport = 0.5\r\n")
        assert f"{file}:2" in _refusal(file)

    def test_a_file_that_is_not_utf8_is_an_error(self, tmp_path: Path) -> None:
        file = tmp_path / "latin.toml"
        file.write_bytes(b'dicom.ae_title = "\xe9"')
        assert "not UTF-8" in _refusal(file)


class TestEnvironment:
    def test_it_overrides_the_file_value_by_value(
        self, configuration: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("PACSD_DICOM__PORT", "105")
        monkeypatch.setenv("PACSD_DICOM__TIMEOUTS__IDLE", "5")
        settings = load_settings(
            configuration('[dicom]\nport = 104\nae_title = "ARCHIVE"\ntimeouts.artim = 7')
        )
        assert settings.dicom.port == 105
        assert settings.dicom.ae_title == "ARCHIVE"
        assert (settings.dicom.timeouts.artim, settings.dicom.timeouts.idle) == (7, 5)

    def test_lists_are_json(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PACSD_ACCESS__UNKNOWN_PEERS", '["echo"]')
        monkeypatch.setenv("PACSD_PEER", '[{"ae_title": "CT1", "host": "ct", "port": 104}]')
        settings = load_settings()
        assert settings.access.unknown_peers == ("echo",)
        assert [peer.ae_title for peer in settings.peer] == ["CT1"]

    def test_a_list_that_is_no_json_is_an_error(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PACSD_ACCESS__UNKNOWN_PEERS", "echo,store")
        message = _refusal()
        assert "access" in message
        assert "JSON" in message

    def test_a_bad_value_names_the_variable(
        self, configuration: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("PACSD_HTTP__PORT", "eighty")
        message = _refusal(configuration("[http]\nport = 81"))
        assert message.startswith("environment variable PACSD_HTTP__PORT: http.port: must be a valid integer")

    @pytest.mark.parametrize(
        ("name", "nearest"), [("PACSD_DICON__PORT", "dicom.port"), ("PACSD_DICOM__PROT", "dicom.port")]
    )
    def test_a_variable_without_effect_is_an_error(
        self, name: str, nearest: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv(name, "104")
        message = _refusal()
        assert name in message
        assert f"did you mean {nearest}?" in message

    @pytest.mark.parametrize(
        ("name", "meant"), [("PACSD_DICOM_PORT", "PACSD_DICOM__PORT"), ("PACSD_PEERS", "PACSD_PEER")]
    )
    def test_a_variable_that_misses_by_little_is_an_error(
        self, name: str, meant: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv(name, "104")
        assert _refusal() == f"environment variable {name} has no effect; did you mean {meant}?"

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("PACSD_PORT", "tcp://10.0.0.1:11112"),
            ("PACSD_SERVICE_HOST", "10.0.0.1"),
            ("PACSD_DICOM_SERVICE_PORT", "11112"),
            ("PACSD_DICOM_PORT", "tcp://10.0.0.1:11112"),
            ("PACSD_DICOM_PORT_11112_TCP_ADDR", "10.0.0.1"),
        ],
    )
    def test_what_kubernetes_sets_for_a_service_of_our_name_is_let_pass(
        self, name: str, value: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv(name, value)
        assert load_settings() == Settings()


class TestProblems:
    def test_all_are_listed_with_their_lines(self, configuration: Callable[[str], Path]) -> None:
        file = configuration("""
[dicom]
port = 70000
prot = 104

[log]
level = "loud"

[[peer]]
ae_title = "CT1"
host = "ct1"
port = 104

[[peer]]
ae_title = "CT2"
port = 104
allow = [
    "echo",
    "delete",
]
""")
        assert _refusal(file).splitlines() == [
            f"{file}:3: dicom.port: must be less than or equal to 65535 (not 70000)",
            f"{file}:4: unknown key dicom.prot; did you mean dicom.port?",
            f"{file}:7: log.level: must be 'debug', 'info', 'warning' or 'error' (not 'loud')",
            f"{file}:14: peer[1].host is missing",
            f"{file}:17: peer[1].allow[1]: must be 'echo', 'store', 'find', 'move' or 'get' (not 'delete')",
        ]

    def test_a_key_in_the_wrong_table_is_told_the_right_one(
        self, configuration: Callable[[str], Path]
    ) -> None:
        message = _refusal(configuration("[server]\nmax_associations = 5"))
        assert message.endswith("unknown key server.max_associations; did you mean dicom.max_associations?")

    def test_an_unknown_table_is_told_the_nearest(self, configuration: Callable[[str], Path]) -> None:
        assert _refusal(configuration("[storge]\nroot = 'x'")).endswith(
            "unknown key storge; did you mean storage?"
        )

    def test_what_resembles_nothing_gets_no_suggestion(self, configuration: Callable[[str], Path]) -> None:
        assert _refusal(configuration("qqqq = 1")).endswith("unknown key qqqq")

    def test_a_syntax_error_names_the_line(self, configuration: Callable[[str], Path]) -> None:
        assert "line 2" in _refusal(configuration("[dicom]\nport 104\n"))

    def test_one_ae_title_may_not_mean_two_peers(self, configuration: Callable[[str], Path]) -> None:
        assert "CT1 stands in several [[peer]] tables" in _refusal(configuration(PEER + PEER))

    def test_a_character_set_that_is_none_is_named_with_those_that_are(
        self, configuration: Callable[[str], Path]
    ) -> None:
        said = _refusal(configuration(PEER + 'character_set = "LATIN1"\n'))
        assert "character_set" in said
        assert "'LATIN1' is none of GB18030, GBK, ISO 2022 IR 100" in said

    def test_somebody_must_be_able_to_call(self, configuration: Callable[[str], Path]) -> None:
        said = _refusal(configuration("[dicom]\nenabled = false"))
        assert said.endswith(
            "dicom: nobody could call: enabled is false, and so is enabled of [dicom.tls]; set one of them to true"
        )

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            (
                "[access]\nmove_to = ['CT1', 'CT2']\n" + PEER,
                "access.move_to: CT2 is no ae_title of a [[peer]]",
            ),
            (PEER + "move_to = ['NOBODY']", "peer CT1: move_to: NOBODY is no ae_title of a [[peer]]"),
            (
                PEER + "certificate = 'CT1'",
                "peer CT1: certificate: nobody could show one: set enabled and ca of",
            ),
            (PEER + "certificate = 'sha256:12'", "peer[0].certificate[0]: a fingerprint is sha256: and 64"),
            (
                PEER + "certificate = ['CT1', ' ']",
                "peer[0].certificate[1]: write a certificate's common name",
            ),
        ],
    )
    def test_what_could_not_hold_is_refused(
        self, text: str, said: str, configuration: Callable[[str], Path]
    ) -> None:
        assert said in _refusal(configuration(text))

    def test_no_negative_number_of_matches(self, configuration: Callable[[str], Path]) -> None:
        assert "max_matches" in _refusal(configuration(PEER + "max_matches = -1\n"))

    @pytest.mark.parametrize(
        "url",
        [
            "postgres://user:secret@db/pacs",
            "mysql://user:secret@db/pacs",
            "sqlite://",
            "sqlite:///:memory:",
        ],
    )
    def test_a_database_that_cannot_serve_is_refused_without_its_password(
        self, url: str, configuration: Callable[[str], Path]
    ) -> None:
        message = _refusal(configuration(f'[index]\nurl = "{url}"'))
        assert "index.url: " in message
        assert "secret" not in message

    @pytest.mark.parametrize("length", [1, 4095, -1, (1 << 24) + 1])
    def test_max_pdu_length_is_bounded(self, length: int, configuration: Callable[[str], Path]) -> None:
        assert "dicom.max_pdu_length" in _refusal(configuration(f"dicom.max_pdu_length = {length}"))

    @pytest.mark.parametrize("seconds", ["0", "-1", "nan", "inf"])
    def test_a_timeout_is_a_positive_number(self, seconds: str, configuration: Callable[[str], Path]) -> None:
        assert "dicom.timeouts.idle" in _refusal(configuration(f"dicom.timeouts.idle = {seconds}"))


class TestValues:
    @pytest.mark.parametrize(
        "character_set", ["ISO_IR 100", "\\ISO 2022 IR 87", "ISO 2022 IR 13\\ISO 2022 IR 87"]
    )
    def test_a_peers_character_set(self, configuration: Callable[[str], Path], character_set: str) -> None:
        settings = load_settings(configuration(PEER + f"character_set = '{character_set}'\n"))
        assert settings.peer[0].character_set == character_set

    @pytest.mark.parametrize(
        ("written", "read"),
        [
            ("'CT1'", ("CT1",)),
            ("['CT1', ' ct1.example ']", ("CT1", "ct1.example")),
            (f"'SHA256:{'AB:' * 31}ab'", ("sha256:" + "ab" * 32,)),
            (f"'sha256:{'Cd' * 32}'", ("sha256:" + "cd" * 32,)),
            ("[]", ()),
        ],
    )
    def test_certificates_of_a_peer(
        self, written: str, read: tuple[str, ...], configuration: Callable[[str], Path]
    ) -> None:
        tls = "[dicom.tls]\nenabled = true\nca = 'ca.crt'\n"
        settings = load_settings(configuration(f"{tls}{PEER}certificate = {written}\n"))
        assert settings.peer[0].certificate == read

    @pytest.mark.parametrize(
        ("further", "checked"),
        [
            ("", True),
            ("allow = ['echo', 'store']", False),
            ("allow = ['get']", True),
            ("allow = ['move']\ncheck_host = false", False),
            ("allow = ['store']\ncheck_host = true", True),
        ],
    )
    def test_who_may_read_is_held_to_its_host(
        self, further: str, checked: bool, configuration: Callable[[str], Path]
    ) -> None:
        (peer,) = load_settings(configuration(f"{PEER}{further}\n")).peer
        assert peer.is_host_checked == checked

    @pytest.mark.parametrize("title", ["", " ", "A" * 17, "A\\B", "A\nB", "É"])
    def test_ae_titles_are_checked(self, title: str) -> None:
        with pytest.raises(ValidationError):
            TypeAdapter(AeTitle).validate_python(title)

    def test_spaces_around_an_ae_title_mean_nothing(self) -> None:
        assert TypeAdapter(AeTitle).validate_python("  CT 1            ") == "CT 1"

    def test_policies_become_the_archives_own_words(self, configuration: Callable[[str], Path]) -> None:
        assert (
            load_settings(configuration('storage.duplicates = "replace"')).storage.duplicates
            is DuplicatePolicy.REPLACE
        )

    def test_no_workers_means_one_per_cpu(self) -> None:
        assert ServerSettings().worker_count == len(os.sched_getaffinity(0))
        assert ServerSettings(workers=3).worker_count == 3

    def test_settings_do_not_change(self) -> None:
        with pytest.raises(ValidationError):
            Settings().dicom.port = 104  # type: ignore[misc]


_keys = st.sampled_from(["a", "b", "c-d", '"e f"'])
_values = st.sampled_from(["1", '"x"', "[1,\n 2]", '"""\n[not.a.table]\na = 1\n"""', "{ g = 1 }", "true"])
_statements = st.dictionaries(_keys, _values, max_size=3).map(
    lambda pairs: "".join(f"{key} = {value}\n# ...\n" for key, value in pairs.items())
)


@given(
    _statements, st.lists(st.tuples(st.sampled_from(["[t]\n", "[u.v]\n", "[[w]]\n", "[[w]]\n"]), _statements))
)
def test_key_lines_finds_each_key_where_it_begins(head: str, tables: list[tuple[str, str]]) -> None:
    text = head + "".join(header + statements for header, statements in tables)
    try:
        parsed = tomllib.loads(text)
    except tomllib.TOMLDecodeError:  # the same table twice
        return
    found = key_lines(text)
    lines = text.splitlines()
    for path in _leaves(parsed):
        name = next(str(key) for key in reversed(path) if isinstance(key, str))
        assert name in lines[found[path] - 1]


def _leaves(value: object, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    children: Iterable[tuple[str | int, object]] = ()
    if isinstance(value, dict):
        children = value.items()
    elif isinstance(value, list):
        children = enumerate(value)
    else:
        yield path
    for key, child in children:
        yield from _leaves(child, (*path, key))
