"""The configuration as one typed, frozen tree; every default stands here, and `config/pacsd.toml` repeats it.

`configuration` reads it from the file and the environment. Relative paths, in the database URL too,
are relative to the directory in which the daemon is started.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    model_validator,
)
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from pacsd.dataset.defined_terms import verify_character_set, verify_default_character_set
from pacsd.model import DemographicsPolicy, DuplicatePolicy, Service

__all__ = [
    "ENVIRONMENT_DELIMITER",
    "ENVIRONMENT_PREFIX",
    "AccessSettings",
    "DecompressionSettings",
    "DicomSettings",
    "HttpSettings",
    "IndexSettings",
    "IntegritySettings",
    "LimitSettings",
    "LogSettings",
    "PeerSettings",
    "Permission",
    "ServerSettings",
    "Settings",
    "StorageSettings",
    "TimeoutSettings",
    "TlsSettings",
]

ENVIRONMENT_PREFIX = "PACSD_"
ENVIRONMENT_DELIMITER = "__"
MAX_WORKERS = 256


def _service(name: str) -> str:
    names = [f"'{each.value}'" for each in Service]
    if f"'{name}'" not in names:
        expected = f"{', '.join(names[:-1])} or {names[-1]}"
        raise PydanticCustomError("literal_error", "Input should be {expected}", {"expected": expected})
    return name


Permission = Annotated[str, AfterValidator(_service)]
"""What a calling AE may ask of us: the value of a `Service`."""


def _ae_title(value: str) -> str:
    """An AE title without the spaces that carry no meaning (VR AE, PS3.5 §6.2)."""
    title = value.strip(" ")
    if not 1 <= len(title) <= 16:
        raise ValueError("an AE title has 1 to 16 characters, not counting leading and trailing spaces")
    if "\\" in title or not (title.isascii() and title.isprintable()):
        raise ValueError("an AE title holds printable ASCII characters only, and no backslash")
    return title


def _umask(value: str) -> str:
    if not re.fullmatch("0?[0-7]{3}", value):
        raise ValueError('write three octal digits, such as "027"')
    return value


def _max_pdu_length(value: int) -> int:
    if value and not 4096 <= value <= 1 << 24:
        raise ValueError("write 0 (offer no limit) or a number of bytes from 4096 to 16777216")
    return value


def _database_url(value: str) -> str:
    if value.startswith(("postgresql+psycopg://", "postgresql://")):
        return value
    if not value.startswith("sqlite:///"):
        raise ValueError("write sqlite:///PATH or postgresql+psycopg://USER:PASSWORD@HOST/DATABASE")
    if value.removeprefix("sqlite:///").partition("?")[0] in {"", ":memory:"}:
        raise ValueError("the index needs a file: several processes share it, and it must outlive them")
    return value


def _character_set(value: str) -> str:
    verify_character_set(value)
    return value


def _default_character_set(value: str) -> str:
    verify_default_character_set(value)
    return value


def _extra_key(keyword: str) -> str:
    from pacsd.index.schema.extra_keys import extra_key  # noqa: PLC0415  only where there is one

    return extra_key(keyword).keyword


def _certificate(value: str) -> str:
    """A name in a certificate as it stands, or a fingerprint as "sha256:" and 64 lower-case digits."""
    kind, _, digits = value.strip().partition(":")
    if kind.lower() != "sha256":
        if not value.strip():
            raise ValueError("write a certificate's common name, one of its DNS names, or sha256:FINGERPRINT")
        return value.strip()
    digits = digits.replace(":", "").lower()
    if not re.fullmatch("[0-9a-f]{64}", digits):
        raise ValueError("a fingerprint is sha256: and 64 hexadecimal digits, with or without colons")
    return f"sha256:{digits}"


def _one_or_more(value: object) -> object:
    return (value,) if isinstance(value, str) else value


def _share_an_address(host: str, other: str) -> bool:
    """Whether who listens on the one takes a port from who listens on the other; names are not looked up."""
    if host == other or "::" in (host, other):
        return True
    return "0.0.0.0" in (host, other) and ":" not in host + other  # noqa: S104  compared, not listened on


AeTitle = Annotated[str, AfterValidator(_ae_title)]
Host = Annotated[str, Field(min_length=1)]
Port = Annotated[int, Field(ge=1, le=65535)]
ListenPort = Annotated[int, Field(ge=0, le=65535)]
MaxMatches = Annotated[int, Field(ge=0)]
"""Matches that a query is answered with at most; 0: with all."""
Certificates = Annotated[
    tuple[Annotated[str, AfterValidator(_certificate)], ...], BeforeValidator(_one_or_more)
]
SecondsOrNone = Annotated[float, Field(ge=0, allow_inf_nan=False)]
"""0: as long as it takes."""
Limit = Annotated[int, Field(ge=0, le=100_000)]
"""0: none."""
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class TimeoutSettings(_Section):
    """`[dicom.timeouts]`, all in seconds."""

    artim: Seconds = 30.0
    """ARTIM (PS3.8 §9.1.4): from connection to A-ASSOCIATE-RQ, from A-RELEASE-RP or A-ABORT to the close."""
    association: Seconds = 30.0
    """How long an association that we request may take to be answered."""
    dimse: Seconds = 60.0
    """How long a peer may take to answer a DIMSE request of ours, or to go on with a message it has begun."""
    idle: Seconds = 600.0
    """An association on which nothing happens for so long is aborted."""
    write: Seconds = 60.0
    """How long a peer may refuse to take bytes from us."""
    connect: Seconds = 10.0
    """How long the TCP connection to a peer may take."""
    tls_handshake: Seconds = 10.0
    """How long the TLS handshake behind it may take, in either direction."""


class TlsSettings(_Section):
    """`[dicom.tls]`; whether the files can be used is for `tls.load_tls` to say."""

    enabled: bool = False
    """Listen for DICOM over TLS."""
    port: ListenPort = 2762
    certificate: Path | None = None
    """Ours, shown to clients, and to peers that we call where they ask for one."""
    private_key: Path | None = None
    """None: it is in the certificate's file."""
    private_key_password: SecretStr | None = None
    """Of an encrypted key; shown nowhere."""
    private_key_password_file: Path | None = None
    """Has it in its first line, instead."""
    ca: Path | None = None
    """Whose certificates we believe, of clients and of peers that we call; None: for the latter the system's."""
    crl: Path | None = None
    """Which of their certificates are revoked: one list of each authority."""
    require_client_certificate: bool = False
    """Of each client; and an AE title that is a `[[peer]]` is served by its own certificate only, on either port."""
    check_host_name: bool = True
    """The certificate of a peer that we call must name its host."""

    @model_validator(mode="after")
    def _one_password(self) -> Self:
        if self.private_key_password is not None and self.private_key_password_file is not None:
            raise ValueError("write private_key_password or private_key_password_file, not both")
        return self


class DicomSettings(_Section):
    """`[dicom]`: what we are called, where we listen and what we offer."""

    enabled: bool = True
    """Listen without TLS, on `port`."""
    ae_title: AeTitle = "PACSD"
    check_called_ae_title: bool = True
    host: Host = "0.0.0.0"  # noqa: S104  a PACS that no modality reaches is of no use
    port: ListenPort = 11112
    max_pdu_length: Annotated[int, AfterValidator(_max_pdu_length)] = 262144
    """Offered for receiving, bytes; 0 offers no limit."""
    max_associations: Annotated[int, Field(ge=1, le=100_000)] = 2000
    """Open at once, over all worker processes."""
    max_operations: Annotated[int, Field(ge=1, le=1000)] = 32
    """Outstanding on one association, for peers that ask for more than one at a time (PS3.7 §D.3.3.3)."""
    accept_unknown_sop_classes: bool = True
    """Also store SOP classes that are not in the registry, as private ones are; those that the sender says are
    storage are stored anyway."""
    accept_unknown_transfer_syntaxes: bool = False
    """Also store in transfer syntaxes that are not in the registry, where a context offers no other."""
    strict_uids: bool = False
    """Refuse instances whose Study, Series or SOP Instance UID is not valid (PS3.5 §9.1)."""
    timeouts: TimeoutSettings = TimeoutSettings()
    tls: TlsSettings = TlsSettings()

    @model_validator(mode="after")
    def _listens(self) -> Self:
        if not (self.enabled or self.tls.enabled):
            raise ValueError(
                "nobody could call: enabled is false, and so is enabled of [dicom.tls]; set one of them to true"
            )
        return self


class StorageSettings(_Section):
    """`[storage]`: the files."""

    root: Path = Path("data/store")
    duplicates: DuplicatePolicy = DuplicatePolicy.REPLACE_OWN
    sync: Literal["full", "off"] = "full"
    """`off` acknowledges before the disk has the instance: a power cut then loses acknowledged instances."""
    checksum: Literal["xxh3_128", "sha256"] = "xxh3_128"
    min_free_mb: Annotated[int, Field(ge=0)] = 1024
    """C-STORE is refused (status 0xA700) while the file system has less free, in units of 10^6 bytes."""

    @property
    def min_free_bytes(self) -> int:
        """`min_free_mb` in bytes."""
        return self.min_free_mb * 1_000_000


class DecompressionSettings(_Section):
    """`[decompression]`: what it may take to read strangers' compressed bytes; MB are units of 10^6 bytes."""

    processes: Annotated[int, Field(ge=1, le=64)] = 2
    """Of each worker, that decode frames."""
    timeout: Seconds = 30.0
    """What decoding an instance may take, besides one second for each 4 MB that come out."""
    max_frame_mb: Annotated[int, Field(ge=1)] = 256
    max_instance_mb: Annotated[int, Field(ge=0)] = 0
    """All pixel data of an instance, decompressed; 0: a quarter of the memory, at most 2048."""
    max_inflated_mb: Annotated[int, Field(ge=1)] = 128
    """Of a deflated data set, that are inflated to see that it is whole."""

    @property
    def max_inflated_bytes(self) -> int:
        """`max_inflated_mb` in bytes."""
        return self.max_inflated_mb * 1_000_000


class IntegritySettings(_Section):
    """`[integrity]`: what kept files are compared with the index by, and when."""

    on_retrieve: Literal["checksum", "length"] = "checksum"
    """Before an instance is sent; see `services.verification`."""
    scrub_days: Annotated[int, Field(ge=0)] = 30
    """Days from one scrub of all files to the next, begin to begin; 0: none."""
    scrub_mb_per_second: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 10.0
    """How fast the scrub reads, in units of 10^6 bytes."""
    queries_while_incomplete: Literal["refuse", "answer"] = "refuse"
    """What becomes of queries and retrieves while the index may lack stored instances."""


class IndexSettings(_Section):
    """`[index]`: the database."""

    url: Annotated[str, AfterValidator(_database_url)] = "sqlite:///data/index.db"
    password_file: Path | None = None
    """Its first line is PostgreSQL's password; `configuration.load_settings` puts it into `url`."""
    demographics: DemographicsPolicy = DemographicsPolicy.LATEST
    """Which value a patient keeps where instances disagree, for example of the name."""
    names: Literal["accent-insensitive", "case-insensitive"] = "accent-insensitive"
    """What doesn't matter where a person's name is asked for; case never does."""
    extra_keys: tuple[Annotated[str, AfterValidator(_extra_key)], ...] = ()
    """More attributes, by keyword, to be matched by an index; see `index.extra_keys`."""
    commit_timeout: Seconds = 60.0
    """How long a commit is tried again while PostgreSQL is away, as in a failover; a query for 20 seconds at most."""
    min_free_mb: Annotated[int, Field(ge=0)] = 256
    """As `storage.min_free_mb`, for the file system that an SQLite database is on."""
    durability: Literal["required", "as-configured"] = "required"
    """Whether a server starts on a database that may lose what it has committed; see `index.maintenance.promises`."""

    @property
    def min_free_bytes(self) -> int:
        """`min_free_mb` in bytes."""
        return self.min_free_mb * 1_000_000


class HttpSettings(_Section):
    """`[http]`: /metrics, /healthz and /readyz."""

    enabled: bool = True
    host: Host = "127.0.0.1"
    port: ListenPort = 8080


class ServerSettings(_Section):
    """`[server]`: the processes."""

    workers: Annotated[int, Field(ge=0, le=MAX_WORKERS)] = 0
    """Processes; 0 is one per CPU that we may run on, see `worker_count`."""
    shutdown_timeout: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 20.0
    """How long running operations may take to finish after SIGTERM before they are aborted, seconds."""
    beat_timeout: Annotated[float, Field(ge=2, allow_inf_nan=False)] = 30.0
    """A process that shows no sign of life for so long is reported, and killed and replaced after twice as long."""
    umask: Annotated[str, AfterValidator(_umask)] = "077"
    """Permissions that new files and directories do not get, octal: with 077 they are their owner's alone."""

    @property
    def worker_count(self) -> int:
        """`workers`, or where that is 0 the number of CPUs that this process may use."""
        return self.workers or min(len(os.sched_getaffinity(0)), MAX_WORKERS)


class AccessSettings(_Section):
    """`[access]`: who may do what without being a `[[peer]]`."""

    unknown_peers: tuple[Permission, ...] = ("echo", "store")
    move_to: tuple[AeTitle, ...] | None = None
    """As `PeerSettings.move_to`, where `unknown_peers` may move."""
    max_matches: MaxMatches = 0


class LimitSettings(_Section):
    """`[limits]`: what one caller may take of what there is for all; 0 is no limit."""

    kept_for_peers: Annotated[float, Field(ge=0, lt=1)] = 0.25
    """Share of `dicom.max_associations` that who is no `[[peer]]` does not get; half of it is for proven ones alone."""
    associations_per_address: Limit = 500
    """Open at once, over all worker processes, as the next."""
    associations_per_title: Limit = 250
    """Of a `[[peer]]` that has proved who it is; of others that use a title, at each address."""
    connections_without_association: Annotated[int, Field(ge=1, le=100_000)] = 500
    """In one worker process at once, as the next."""
    connections_without_association_per_address: Limit = 200
    operations_per_peer: Limit = 16
    """Worked on at once in one worker process, of one `[[peer]]` or of one address; waiting for the peer apart."""
    mb_per_second_per_peer: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    """Received and sent together, of one `[[peer]]` or of one address, in units of 10^6 bytes; see `scp.bandwidth`."""
    query_seconds: SecondsOrNone = 120.0
    """Of work, waiting for the peer apart, that a query or the looking up of a selection may take."""
    answer_seconds: SecondsOrNone = 3600.0
    """In which a peer must have taken all matches of a query."""
    waiting_matches_mb: Annotated[int, Field(ge=1)] = 4000
    """Of all queries of one worker process together, on disk in `storage.root`, in units of 10^6 bytes."""

    @property
    def waiting_matches_bytes(self) -> int:
        """`waiting_matches_mb` in bytes."""
        return self.waiting_matches_mb * 1_000_000


class LogSettings(_Section):
    """`[log]`."""

    format: Literal["console", "json"] = "console"
    level: Literal["debug", "info", "warning", "error"] = "info"
    patient_data: bool = False
    """Whether a log line may name a patient."""


class PeerSettings(_Section):
    """One `[[peer]]`: an application entity that we know, to be called by and to call."""

    ae_title: AeTitle
    host: Host
    port: Port
    allow: tuple[Permission, ...] = ("echo", "store", "find", "move", "get")
    check_host: bool | None = None
    """Take associations under this AE title from this host's addresses only; None: see `is_host_checked`."""
    certificate: Certificates = ()
    """Take associations under this AE title over TLS only, by one of these certificates: a common name, a DNS name,
    or "sha256:" and a fingerprint. Without any, `dicom.tls.require_client_certificate` wants one of its own name."""
    move_to: tuple[AeTitle, ...] | None = None
    """The destinations that its C-MOVE may name, of all peers; None: any of them."""
    tls: bool = False
    """Call it over TLS."""
    max_matches: MaxMatches = 0
    character_set: Annotated[str, AfterValidator(_character_set)] | None = None
    """The Specific Character Set in which its queries are answered; None: one that holds the values."""
    default_character_set: Annotated[str, AfterValidator(_default_character_set)] | None = None
    """What its instances and queries are in where they do not say; None: UTF-8 where it is valid, else Latin-1."""

    @property
    def is_host_checked(self) -> bool:
        """`check_host`; without it, whether the peer may read what others have stored."""
        if self.check_host is not None:
            return self.check_host
        return not {"find", "move", "get"}.isdisjoint(self.allow)


class Settings(BaseSettings):
    """The whole tree. The environment overrides what the caller gives: PACSD_DICOM__PORT is `dicom.port`."""

    model_config = SettingsConfigDict(
        env_prefix=ENVIRONMENT_PREFIX, env_nested_delimiter=ENVIRONMENT_DELIMITER, extra="forbid", frozen=True
    )

    dicom: DicomSettings = DicomSettings()
    storage: StorageSettings = StorageSettings()
    decompression: DecompressionSettings = DecompressionSettings()
    integrity: IntegritySettings = IntegritySettings()
    index: IndexSettings = IndexSettings()
    http: HttpSettings = HttpSettings()
    server: ServerSettings = ServerSettings()
    access: AccessSettings = AccessSettings()
    limits: LimitSettings = LimitSettings()
    log: LogSettings = LogSettings()
    peer: tuple[PeerSettings, ...] = ()

    def find_peer(self, ae_title: str) -> PeerSettings | None:
        """The configured peer of this AE title (without padding), if there is one."""
        return next((peer for peer in self.peer if peer.ae_title == ae_title), None)

    @model_validator(mode="after")
    def _ports_differ(self) -> Self:
        dicom, http = self.dicom, self.http
        taken: dict[int, tuple[str, str]] = {}
        for key, is_enabled, host, port in (
            ("dicom.port", dicom.enabled, dicom.host, dicom.port),
            ("dicom.tls.port", dicom.tls.enabled, dicom.host, dicom.tls.port),
            ("http.port", http.enabled, http.host, http.port),
        ):
            if not (is_enabled and port):
                continue
            other, other_host = taken.setdefault(port, (key, host))
            if other != key and _share_an_address(host, other_host):
                raise ValueError(f"{key}: {port} is {other}, too; choose another")
        return self

    @model_validator(mode="after")
    def _peers_differ(self) -> Self:
        titles = [peer.ae_title for peer in self.peer]
        twice = sorted({title for title in titles if titles.count(title) > 1})
        if twice:
            raise ValueError(
                f"peer.ae_title: {', '.join(twice)} stands in several [[peer]] tables; keep one of each"
            )
        return self

    @model_validator(mode="after")
    def _destinations_are_peers(self) -> Self:
        named = {f"peer {peer.ae_title}: move_to": peer.move_to for peer in self.peer}
        named["access.move_to"] = self.access.move_to
        for key, titles in named.items():
            unknown = sorted(title for title in titles or () if self.find_peer(title) is None)
            if unknown:
                raise ValueError(f"{key}: {', '.join(unknown)} is no ae_title of a [[peer]]")
        return self

    @model_validator(mode="after")
    def _certificates_are_verified(self) -> Self:
        bound = [peer.ae_title for peer in self.peer if peer.certificate]
        if bound and not (self.dicom.tls.enabled and self.dicom.tls.ca):
            raise ValueError(
                f"peer {bound[0]}: certificate: nobody could show one: set enabled and ca of [dicom.tls]"
            )
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        **_: Any,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment, then the file, which `configuration.load_settings` passes as arguments."""
        return env_settings, init_settings
