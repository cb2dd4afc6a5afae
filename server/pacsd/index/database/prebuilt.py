"""Core statements as the driver takes them: compiled once for each kind of database, not looked up at each execution.

To execute a statement that it has compiled before, SQLAlchemy needs some 15 µs, and 40 µs for the transaction around
it; of the few statements that every C-STORE runs that is most of the time. They stay Core statements of the tables.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import Dialect, Insert, Select

__all__ = ["PrebuiltInsert", "positional", "select_text"]


def positional(dialect: type[Dialect]) -> Dialect:
    """A dialect of this kind with parameters by position, which drivers take faster than named ones."""
    made: Any = dialect
    by_position: Dialect = made(paramstyle="qmark" if dialect.name == "sqlite" else "format")
    return by_position


class PrebuiltInsert:
    """An INSERT of the given columns as text, and rows as the parameters that it takes."""

    def __init__(self, statement: Insert, columns: Sequence[str], dialect: Dialect) -> None:
        """`dialect` as `positional` makes it."""
        # "Inline" asks for nothing back, such as the new row's key.
        compiled: Any = statement.inline().compile(dialect=dialect, column_keys=list(columns))
        self.text = str(compiled)
        self._names: tuple[str, ...] = tuple(compiled.positiontup)
        types = [statement.table.c[name].type.dialect_impl(dialect) for name in self._names]
        converters = [each.bind_processor(dialect) for each in types]
        self._converters = [(at, convert) for at, convert in enumerate(converters) if convert is not None]

    def parameters(self, row: Mapping[str, Any]) -> list[Any]:
        """The row's values in the statement's order, converted as its columns' types would."""
        values = [row[name] for name in self._names]
        for at, convert in self._converters:
            values[at] = convert(values[at])
        return values


def select_text(statement: Select[Any], dialect: Dialect) -> str:
    """A SELECT as text; its parameters are to be given in the order in which they stand there."""
    return str(statement.compile(dialect=dialect))
