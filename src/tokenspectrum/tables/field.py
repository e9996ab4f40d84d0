"""One way to declare a column: name, type, description, and whether it may be null.  Knows no table."""

import pyarrow as pa


def column(name: str, kind: pa.DataType, description: str, *, nullable: bool = False) -> pa.Field:
    """An Arrow field that carries its description; columns are non-null unless they say otherwise."""
    return pa.field(name, kind, nullable=nullable, metadata={"description": description})


def table_schema(key: tuple[str, ...], columns: list[pa.Field]) -> pa.Schema:
    """A schema that carries its key.  run, seed and step are Hive folders: part of the key, not columns of a file."""
    return pa.schema(columns, metadata={"key": ",".join(key)})
