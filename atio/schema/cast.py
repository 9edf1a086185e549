"""Casts that never lose anything, or say where they would (promise 7)."""

from __future__ import annotations

import pyarrow as pa

from atio.errors import SchemaError

t = pa.types
_STRINGS = (t.is_string, t.is_large_string, t.is_string_view)
_BINARIES = (t.is_binary, t.is_large_binary, t.is_binary_view, t.is_fixed_size_binary)
_LISTS = (t.is_list, t.is_large_list, t.is_list_view, t.is_large_list_view, t.is_fixed_size_list)


def cast(column: pa.ChunkedArray, target: pa.Field, first: int = 0) -> pa.ChunkedArray:
    """The column with the target's type, every value unchanged.

    ``first`` is the number of the column's first row in what the user gave, for messages.

    Raises
    ------
    SchemaError
        Naming the column, both types and the first row that would change.
    """
    kind = target.type
    if column.type != kind:
        if not castable(column.type, kind):
            raise SchemaError(
                f"column {target.name!r} is {kind} in the table and {column.type} in the data",
                column=target.name,
                hint=f"cast it to {kind} before writing",
            )
        column = _checked(column, target, first)
    if not target.nullable and column.null_count:
        row = column.is_null().index(True).as_py()
        raise SchemaError(
            f"column {target.name!r} may not be null, but row {first + row} is",
            column=target.name,
            hint="fill or drop the missing values",
        )
    return column


def castable(source: pa.DataType, target: pa.DataType) -> bool:
    """Whether values of one type can be values of the other, if they fit."""
    if source == target or t.is_null(source):
        return True
    if t.is_dictionary(source):
        return castable(source.value_type, target)
    if t.is_dictionary(target):
        return castable(source, target.value_type)
    if t.is_run_end_encoded(source):
        return castable(source.value_type, target)
    if _any(_LISTS, source) and _any(_LISTS, target):
        return castable(source.value_type, target.value_type)
    if t.is_map(source) and t.is_map(target):
        return castable(source.key_type, target.key_type) and castable(source.item_type, target.item_type)
    if t.is_struct(source) and t.is_struct(target):
        fields = {f.name: f for f in target.fields}
        return len(fields) == source.num_fields and all(
            f.name in fields and castable(f.type, fields[f.name].type) for f in source.fields
        )
    if t.is_timestamp(source) and t.is_timestamp(target):
        return (source.tz is None) == (target.tz is None)
    number = (t.is_integer(source) or t.is_floating(source)) and (
        t.is_integer(target) or t.is_floating(target)
    )
    return (
        number
        or (t.is_decimal(target) and (t.is_decimal(source) or t.is_integer(source)))
        or any(
            _any(group, source) and _any(group, target)
            for group in (_STRINGS, _BINARIES, (t.is_time,), (t.is_date,), (t.is_duration,))
        )
    )


def _any(tests: tuple[object, ...], kind: pa.DataType) -> bool:
    return any(test(kind) for test in tests)  # type: ignore[operator]


def _checked(column: pa.ChunkedArray, target: pa.Field, first: int) -> pa.ChunkedArray:
    try:
        result = _convert(column, target.type)
    except pa.ArrowInvalid:
        result = None
    if result is not None and (exact(column.type, target.type) or _same(column, result)):
        return result
    row = _first_lossy(column, target.type)
    value = column[row].as_py()
    raise SchemaError(
        f"column {target.name!r} is {target.type} in the table; {value!r} in row {first + row} of the data "
        f"({column.type}) would not come back as it is",
        column=target.name,
        hint=f"change the value, or cast the column to {target.type} yourself",
    )


def _convert(column: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    if t.is_dictionary(column.type) or t.is_run_end_encoded(column.type):
        return _convert(pa.chunked_array([_decoded(c) for c in column.chunks], column.type.value_type), kind)
    if t.is_dictionary(kind):
        plain = _convert(column, kind.value_type)
        encoded = plain.dictionary_encode()
        return pa.chunked_array([_reindex(chunk, kind) for chunk in encoded.chunks], kind)
    if t.is_null(kind) and column.null_count < len(column):
        raise pa.ArrowInvalid("values cannot become null")
    if t.is_struct(column.type) and t.is_struct(kind) and column.type.num_fields:
        return pa.chunked_array([_convert_struct(chunk, kind) for chunk in column.chunks], kind)
    if t.is_integer(column.type) and t.is_decimal(kind):
        # Arrow looks at the widest integer of the type, not at the values; this way it looks at those.
        wide = pa.decimal256(20, 0) if kind.bit_width == 256 else pa.decimal128(20, 0)
        column = column.cast(wide)
    return column.cast(kind, safe=True)


def _decoded(chunk: pa.Array) -> pa.Array:
    import pyarrow.compute as pc

    return chunk.dictionary_decode() if t.is_dictionary(chunk.type) else pc.run_end_decode(chunk)


def _reindex(chunk: pa.DictionaryArray, kind: pa.DictionaryType) -> pa.DictionaryArray:
    indices = chunk.indices.cast(kind.index_type)
    return pa.DictionaryArray.from_arrays(indices, chunk.dictionary, ordered=kind.ordered)


def _convert_struct(chunk: pa.StructArray, kind: pa.StructType) -> pa.StructArray:
    children = [
        _convert(pa.chunked_array([chunk.field(f.name)]), f.type).combine_chunks() for f in kind.fields
    ]
    return pa.StructArray.from_arrays(children, fields=list(kind.fields), mask=chunk.is_null())


def exact(source: pa.DataType, target: pa.DataType) -> bool:
    """Whether a safe Arrow cast that succeeds has kept every value; Arrow does not look at rounding."""
    if source == target or t.is_null(source):
        return True
    if t.is_dictionary(source) or t.is_run_end_encoded(source):
        return exact(source.value_type, target)
    if t.is_dictionary(target):
        return exact(source, target.value_type)
    if t.is_struct(source):
        return all(exact(field.type, target.field(field.name).type) for field in source.fields)
    if t.is_map(source):
        return exact(source.key_type, target.key_type) and exact(source.item_type, target.item_type)
    if t.is_nested(source):
        return exact(source.value_type, target.value_type)
    if t.is_floating(target):
        # Integers are checked against the mantissa (not that of half floats); one float is rounded to
        # another silently.
        if t.is_integer(source):
            return not t.is_float16(target)
        return bool(target.bit_width >= source.bit_width)
    return not t.is_date32(target)


def _same(before: pa.ChunkedArray, after: pa.ChunkedArray) -> bool:
    try:
        back = _convert(after, before.type)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return False
    if back.equals(before):
        return True
    return t.is_floating(before.type) and bool(_unequal(before, back).true_count == 0)


def _unequal(before: pa.ChunkedArray, back: pa.ChunkedArray) -> pa.Array:
    import pyarrow.compute as pc

    both_nan = pc.and_(pc.is_nan(before), pc.is_nan(back))
    return pc.and_not(pc.not_equal(before, back), both_nan).combine_chunks()


def _first_lossy(column: pa.ChunkedArray, kind: pa.DataType) -> int:
    """Bisect for the first row whose cast fails or changes it."""

    def fine(rows: pa.ChunkedArray) -> bool:
        try:
            result = _convert(rows, kind)
        except pa.ArrowInvalid:
            return False
        return exact(column.type, kind) or _same(rows, result)

    low, high = 0, len(column)
    while high - low > 1:
        middle = (low + high) // 2
        if fine(column.slice(low, middle - low)):
            low = middle
        else:
            high = middle
    return low
