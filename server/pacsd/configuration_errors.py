"""What is wrong with a configuration, in sentences: which key, where it was set, what to write instead."""

from __future__ import annotations

import difflib
import os
from typing import TYPE_CHECKING, Any, get_args

from pydantic import BaseModel, ValidationError

from pacsd.configuration_lines import KeyPath, key_lines

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

__all__ = ["explain", "known_keys", "misnamed_variables", "spell"]

OTHER_VARIABLES = frozenset({"PACSD_CONFIG", "PACSD_TEST_REQUIRE"})
SECRET_KEYS = frozenset({"index.url", "dicom.tls.private_key_password"})
"""May hold a password: their values are not repeated in a message."""


def spell(path: KeyPath) -> str:
    """A path as an administrator reads it: `dicom.port`, `peer[0].ae_title`."""
    return "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in path).removeprefix(".")


def explain(
    error: ValidationError,
    model: type[BaseModel],
    *,
    prefix: str,
    delimiter: str,
    source: tuple[Path, str] | None,
    environment: Mapping[str, str] = os.environ,
) -> list[str]:
    """One sentence for each problem of `error`; `source` is the file that was read and its text."""
    lines = key_lines(source[1]) if source else {}
    sentences = []
    for problem in error.errors(include_url=False):
        path: KeyPath = problem["loc"]
        place = _variable(path, prefix, delimiter, environment)
        if place is None and source is not None:
            number = _line(path, lines)
            place = f"{source[0]}:{number}" if number else f"{source[0]}"
        sentence = _sentence(path, problem["type"], problem["msg"], problem["input"], model)
        sentences.append(f"{place}: {sentence}" if place else sentence)
    return sentences


def misnamed_variables(
    model: type[BaseModel], *, prefix: str, delimiter: str, environment: Mapping[str, str] = os.environ
) -> list[str]:
    """A sentence for each variable with our prefix that looks like a setting and would have no effect.

    Other variables may have the prefix as well: Kubernetes sets PACSD_SERVICE_HOST and PACSD_HTTP_PORT=tcp://… for
    services of such names.
    """
    single: dict[str, Sequence[str]] = {key.replace(".", "_"): key.split(".") for key in known_keys(model)}
    sentences = []
    for name, value in sorted(environment.items()):
        rest = name.upper().removeprefix(prefix).lower()
        if not name.upper().startswith(prefix) or name.upper() in OTHER_VARIABLES:
            continue
        place = f"environment variable {name}"
        path = tuple(rest.split(delimiter.lower()))
        near = difflib.get_close_matches(rest, list(model.model_fields), n=1, cutoff=0.8)
        if path[0] in model.model_fields:
            continue
        if len(path) > 1:
            sentences.append(f"{place}: unknown key {spell(path)}{_suggestion(path, model)}")
        elif near or (rest in single and not value.startswith(("tcp://", "udp://"))):
            wanted = single.get(rest, near)
            sentences.append(f"{place} has no effect; did you mean {prefix}{delimiter.join(wanted).upper()}?")
    return sentences


def known_keys(model: type[BaseModel]) -> Iterator[str]:
    """The whole path of each setting, sections left out: `dicom.port`; a list of tables counts as a table."""
    for name, field in model.model_fields.items():
        section = _section(field.annotation)
        if section is None:
            yield name
        else:
            yield from (f"{name}.{key}" for key in known_keys(section))


def _section(annotation: Any) -> type[BaseModel] | None:
    for candidate in (annotation, *get_args(annotation)):
        if isinstance(candidate, type) and issubclass(candidate, BaseModel):
            return candidate
    return None


def _sentence(path: KeyPath, kind: str, message: str, value: object, model: type[BaseModel]) -> str:
    key = spell(path)
    if kind == "extra_forbidden":
        return f"unknown key {key}{_suggestion(path, model)}"
    if kind == "missing":
        return f"{key} is missing"
    if kind == "path_type":
        return f"{key}: must be a path (not {value!r})"
    text = message.removeprefix("Value error, ").replace("Input should be", "must be", 1)
    if not path:
        return text
    shown = isinstance(value, (str, int, float, bool)) and key not in SECRET_KEYS
    return f"{key}: {text}" + (f" (not {value!r})" if shown else "")


def _suggestion(path: KeyPath, model: type[BaseModel]) -> str:
    """The nearest known key: in the same section first, then of the same name in another one."""
    known = list(known_keys(model))
    names = [str(key) for key in path if isinstance(key, str)]
    wanted, section = ".".join(names), ".".join(names[:-1])
    siblings = {
        key.split(".")[len(names) - 1] for key in known if not section or key.startswith(f"{section}.")
    }
    near = difflib.get_close_matches(names[-1], sorted(siblings), n=1)
    if near:
        return f"; did you mean {spell((*path[:-1], near[0]))}?"
    elsewhere = [key for key in known if key.rpartition(".")[2] == names[-1]]
    near = elsewhere[:1] or difflib.get_close_matches(wanted, known, n=1)
    return f"; did you mean {near[0]}?" if near else ""


def _variable(path: KeyPath, prefix: str, delimiter: str, environment: Mapping[str, str]) -> str | None:
    """The environment variable that set the value at `path`, or the section above it, if one did."""
    names = [str(key) for key in path]
    for length in range(len(names), 0, -1):
        wanted = prefix + delimiter.join(names[:length]).upper()
        for name in environment:
            if name.upper() == wanted:
                return f"environment variable {name}"
    return None


def _line(path: KeyPath, lines: Mapping[KeyPath, int]) -> int | None:
    for length in range(len(path), 0, -1):
        if path[:length] in lines:
            return lines[path[:length]]
    return None
