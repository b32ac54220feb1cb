"""Tables of any kind as columns of few types: whole numbers, numbers, text, and bytes that are no text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from numbers import Integral, Real
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lit_video.index.delimited import PATH_COLUMNS, read_delimited
from lit_video.support.errors import DataError

if TYPE_CHECKING:
    import pyarrow

JSON = (".jsonl", ".ndjson", ".json")
PARQUET = (".parquet", ".pq")


def read_table(file: str | Path) -> Any:
    """Return the `pyarrow.Table` in a file: JSON lines and parquet by their ending, everything else as text.

    Text is delimited by commas, tabs, semicolons or blanks, whichever finds most columns in the first line; or has no
    such line, and each is `path`, `path label` or `path label label` with whole numbers, as for mmaction2 and
    PyTorchVideo. Columns are int64, float64, bool and string; binary where bytes are no UTF-8.

    Raises:
        DataError: There is no such file, or it is no table.
    """
    import pyarrow

    file = Path(file).expanduser()
    if not file.is_file():
        raise DataError(f"{file}: there is no such file.\nLook for it: ls '{file.parent}'")
    try:
        if file.suffix.lower() in JSON:
            return plain(_read_json(file))
        if file.suffix.lower() in PARQUET:
            from pyarrow import parquet

            return plain(parquet.read_table(file))
        return read_delimited(file)
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        kind = "JSON lines" if file.suffix.lower() in JSON else "parquet" if file.suffix.lower() in PARQUET else "text"
        reason = str(error).strip().splitlines()[0].rstrip(".")
        raise DataError(f"{file}: cannot be read as {kind}: {reason}.\nWrite it anew, or as CSV: path,label") from error


def strings(column: Any) -> list[Any]:
    """Return a column as text, null as None, bytes that are no UTF-8 escaped as Python does with names of files."""
    import pyarrow

    if pyarrow.types.is_binary(column.type):
        return [value if value is None else value.decode(errors="surrogateescape") for value in column.to_pylist()]
    return column.cast(pyarrow.string()).to_pylist()


def rows_of(labels: Mapping) -> Iterator[dict[str, Any]]:
    """Yield the rows that a mapping of paths to labels, or to mappings of columns to values, stands for."""
    for path, value in labels.items():
        yield {"path": path} | (dict(value) if isinstance(value, Mapping) else {"label": value})


def of_rows(rows: Any) -> pyarrow.Table:
    """Return the table of mappings: columns of whole numbers or numbers where all values are, else of text."""
    import pyarrow

    rows = [dict(row) for row in rows]
    names = dict.fromkeys(name for row in rows for name in row)
    return pyarrow.table({name: _values([row.get(name) for row in rows], name in PATH_COLUMNS) for name in names})


def _values(values: list, is_path: bool) -> pyarrow.Array:
    import pyarrow

    said = [value for value in values if value is not None]
    for kind, plain in ((Integral, int), (Real, float)):
        if said and not is_path and all(isinstance(value, kind) and not isinstance(value, bool) for value in said):
            return pyarrow.array([None if value is None else plain(value) for value in values])
    text = [None if value is None else str(value).encode(errors="surrogateescape") for value in values]
    return _as_string(pyarrow.array(text, pyarrow.binary()))


def _as_string(column: Any) -> Any:
    import pyarrow

    try:
        column.cast(pyarrow.string()).validate(full=True)
        return column.cast(pyarrow.string())
    except pyarrow.ArrowInvalid:
        return column.cast(pyarrow.binary())


def _read_json(file: Path) -> pyarrow.Table:
    import pyarrow
    from pyarrow import json

    table = json.read_json(file)
    dates = [field.name for field in table.schema if pyarrow.types.is_timestamp(field.type)]
    if not dates:
        return table
    as_text = pyarrow.schema([(name, pyarrow.string()) for name in dates])  # as they are written
    return json.read_json(file, parse_options=json.ParseOptions(explicit_schema=as_text))


def plain(table: pyarrow.Table) -> pyarrow.Table:
    """Return a table with one type for whole numbers, one for numbers, and text as far as it is."""
    import pyarrow

    is_a = pyarrow.types
    columns = {}
    for name, column in zip(table.column_names, table.columns, strict=True):
        kind = column.type.value_type if is_a.is_dictionary(column.type) else column.type
        if is_a.is_integer(kind):
            column = column.cast(pyarrow.int64())
        elif is_a.is_floating(kind) or is_a.is_decimal(kind):
            column = column.cast(pyarrow.float64())
        elif kind in (
            pyarrow.null(),
            pyarrow.string(),
            pyarrow.large_string(),
            pyarrow.binary(),
            pyarrow.large_binary(),
        ):
            column = _as_string(column)
        columns[name] = column
    return pyarrow.table(columns)
