"""Tables as text: a first line that names the columns, or lines of a path and whole numbers.

Columns become whole numbers or numbers only where nothing is lost by it: `007` stays text.
"""

from __future__ import annotations

import codecs
import csv
import importlib
import io
import re
from collections.abc import Iterator
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from lit_video.index.endings import SUFFIXES
from lit_video.support.errors import DataError

if TYPE_CHECKING:
    import pyarrow

# Columns that name a video, of which the first that is there counts: ours, Hugging Face's, others', Kinetics'.
PATH_COLUMNS = ("path", "file_name", "file", "youtube_id")
DELIMITERS = (",", "\t", ";", " ")
NOT_A_NUMBER = ("NA", "N/A", "NaN", "nan", "null", "None")
# At most as many digits as the type holds, and no zeros in front: what does not come back as it was is a name.
WHOLE = r"0|-?[1-9][0-9]{0,17}"
NUMBER = r"[+-]?([0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(\.[0-9]*)?[eE][+-]?[0-9]+|inf)"
# What Arrow takes otherwise than spreadsheets mean it: a blank before a quote, and lines of blanks.
UNTIDY = re.compile(rb'[,;\t][ ]+"|(?:^|\n)[ \t]+(?:\r?\n|$)')
PATH_AND_NUMBERS = re.compile(r"(.*?\S)((?:[ \t,;]+-?[0-9]+)*)\s*")


class Header(NamedTuple):
    """The first line of a table: the names of its columns, and what stands between them."""

    names: list[str]
    delimiter: str


def read_delimited(file: Path) -> pyarrow.Table:
    """Return the table in a file of text: columns of int64, float64 and string, or binary where bytes are no UTF-8.

    The column that names the file is never taken for numbers. Empty lines are left out, empty fields are null.

    Raises:
        DataError: Neither a first line with a path column nor lines of paths, or a line of another length.
    """
    import pyarrow

    data = _load(file)
    header = _header(data)
    if header is None:
        return _without_header(file, data)
    raw = _parse(file, data, header)
    path_column = next(name for name in PATH_COLUMNS if name in header.names)
    text = {name: _text(raw[name]) for name in header.names}
    columns = {name: value if name == path_column else _typed(value, header) for name, value in text.items()}
    table = pyarrow.table(columns)
    said = np.any([column.is_valid().to_numpy() for column in table.columns], axis=0)
    return table.filter(pyarrow.array(said))


def line_of(file: Path, row: int) -> int:
    """Return the number, from 1, of the line that a row of a file's table ends on."""
    data = _load(file)
    header = _header(data)
    if header is None:
        return [line for line, _, _ in _lines(data)][row]
    reader = _reader(data, header.delimiter)
    return [reader.line_num for fields in reader if any(field.strip() for field in fields)][row + 1]


def _load(file: Path) -> bytes:
    data = file.read_bytes()
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):  # Excel's "Unicode text"
        return data.decode("utf-16", errors="replace").encode()
    return data.removeprefix(codecs.BOM_UTF8)


def _reader(data: bytes, delimiter: str) -> Any:
    # Paths are bytes to the system, and the index keeps those that are no UTF-8 in the same way.
    text = io.TextIOWrapper(io.BytesIO(data), encoding="utf-8", errors="surrogateescape", newline="")
    return csv.reader(text, delimiter=delimiter, skipinitialspace=True)


def _header(data: bytes) -> Header | None:
    """Return the first line, read by the delimiter that finds most columns, if one of them names a file."""
    first = data.lstrip().partition(b"\n")[0].strip()
    found = []
    for delimiter in DELIMITERS:
        names = [name.strip() for fields in _reader(first, delimiter) for name in fields]
        if not set(PATH_COLUMNS).isdisjoint(names):
            found.append(Header(names, delimiter))
    return max(found, key=lambda header: len(header.names), default=None)


def _parse(file: Path, data: bytes, header: Header) -> pyarrow.Table:
    """Return all fields as bytes."""
    import pyarrow

    if len(set(header.names)) < len(header.names):
        double = max(header.names, key=header.names.count)
        raise DataError(f"{file}: two columns are called {double or 'nothing'}.\nGive each column a name of its own")
    body = data.lstrip()
    if UNTIDY.search(body) is None:
        try:
            return _by_arrow(body, header)
        except pyarrow.ArrowInvalid:  # lines of unequal length: some are harmless, the others are told by number
            pass
    return _by_arrow(_tidied(file, data, header), header)


def _by_arrow(body: bytes, header: Header) -> pyarrow.Table:
    import pyarrow
    from pyarrow import csv as arrow

    return arrow.read_csv(
        io.BytesIO(body),
        read_options=arrow.ReadOptions(column_names=header.names, skip_rows=1),
        parse_options=arrow.ParseOptions(delimiter=header.delimiter, newlines_in_values=b'"' in body),
        convert_options=arrow.ConvertOptions(column_types=dict.fromkeys(header.names, pyarrow.binary())),
    )


def _tidied(file: Path, data: bytes, header: Header) -> bytes:
    """Return the table with as many fields in each line as in the first."""
    width, text = len(header.names), io.StringIO(newline="")
    out = csv.writer(text, delimiter=header.delimiter, quoting=csv.QUOTE_ALL, lineterminator="\n")
    reader = _reader(data, header.delimiter)
    for fields in reader:
        if any(field.strip() for field in fields[width:]):
            raise DataError(
                f"{file}: line {reader.line_num} has {len(fields)} fields, and the first line names {width}.\n"
                f'Put quotes around a field with {header.delimiter!r} in it: "a, b.mp4"'
            )
        if any(field.strip() for field in fields):
            out.writerow([*fields, *[""] * (width - len(fields))][:width])
    return text.getvalue().encode(errors="surrogateescape")


def _compute() -> Any:
    """Return Arrow's functions, which it makes when it is imported: type checkers do not know them."""
    return importlib.import_module("pyarrow.compute")


def _text(column: pyarrow.ChunkedArray) -> pyarrow.ChunkedArray:
    """Return a column of bytes as text without blanks around it, null where there is none; bytes if no UTF-8."""
    import pyarrow

    compute = _compute()
    try:
        text = compute.utf8_trim_whitespace(column.cast(pyarrow.string()))
    except pyarrow.ArrowInvalid:
        trimmed = [value.strip() or None for value in column.to_pylist()]
        return pyarrow.chunked_array([pyarrow.array(trimmed, pyarrow.binary())])
    return compute.if_else(compute.equal(text, ""), None, text)


def _typed(text: pyarrow.ChunkedArray, header: Header) -> pyarrow.ChunkedArray:
    """Return a column of text as numbers, if that is what they are."""
    import pyarrow

    compute = _compute()
    if not pyarrow.types.is_string(text.type):
        return text
    numbers = compute.if_else(compute.is_in(text, value_set=pyarrow.array(NOT_A_NUMBER)), None, text)
    if header.delimiter == ";":  # where the comma is the point of a number
        numbers = compute.replace_substring_regex(numbers, r"^([+-]?[0-9]+),([0-9]+)$", r"\1.\2")
    for pattern, kind in ((WHOLE, pyarrow.int64()), (f"{WHOLE}|{NUMBER}", pyarrow.float64())):
        if compute.all(compute.match_substring_regex(numbers, f"^({pattern})$")).as_py():
            return numbers.cast(kind)
    return text


def _without_header(file: Path, data: bytes) -> pyarrow.Table:
    """Return the table of lines `path label`, or of paths alone: one number is `label`, several `label_0` and on."""
    import pyarrow

    rows = list(_lines(data))
    first = rows[0][1] if rows else ""
    alone = bool(rows) and not rows[0][2]
    if not rows or (alone and re.search("[,;\t]", first) and PurePath(first).suffix.lower() not in SUFFIXES):
        raise DataError(
            f"{file}: the first line must name the columns path and label, or others beside path"
            f" (as good: {', '.join(PATH_COLUMNS[1:])}).\nAdd one: path,label"
        )
    count = len(rows[0][2])
    for line, _, numbers in rows:
        if len(numbers) != count:
            raise DataError(
                f"{file}: line {line} has {len(numbers)} whole numbers behind the path, and the first line {count}.\n"
                "Name the columns in a first line, as in path,label"
            )
    names = ["label"] if count == 1 else [f"label_{place}" for place in range(count)]
    paths = pyarrow.array([path.encode(errors="surrogateescape") for _, path, _ in rows], pyarrow.binary())
    columns = {name: [numbers[place] for _, _, numbers in rows] for place, name in enumerate(names)}
    return pyarrow.table({"path": _text(pyarrow.chunked_array([paths]))} | columns)


def _lines(data: bytes) -> Iterator[tuple[int, str, list[int]]]:
    """Yield number, path and whole numbers of each line that is not empty."""
    for line, text in enumerate(data.decode(errors="surrogateescape").split("\n"), start=1):
        if found := PATH_AND_NUMBERS.fullmatch(text.strip()):
            yield line, found[1], [int(number) for number in re.split("[ \t,;]+", found[2])[1:]]
