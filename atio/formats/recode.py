"""Types that travel as other types.

Few file formats hold every Arrow type. A :class:`Recoding` says as which ``stored`` type a column
travels and how to get there and back without losing a bit. Each format states its rules as one
function from an Arrow type to a recoding; this module has the pieces such rules are made of.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pyarrow as pa
from pyarrow import types as pt

Step = Callable[[pa.Array], pa.Array]


class Recoding(msgspec.Struct, frozen=True):
    """How one type travels; a step that is None means the array serves as it is."""

    type: pa.DataType
    stored: pa.DataType
    encode: Step | None = None
    decode: Step | None = None


Rule = Callable[[pa.DataType], Recoding]
"""Raises :class:`RefusedError` for a type that cannot travel."""


class RefusedError(Exception):
    """The format has no lossless way to hold ``type``."""

    def __init__(self, type_: pa.DataType) -> None:
        super().__init__(str(type_))
        self.type = type_


class CrowdedError(Exception):
    """More distinct values (or rows) than the index type of one chunk can count: split it."""


def keep(type_: pa.DataType) -> Recoding:
    return Recoding(type_, type_)


def chain(first: Recoding, second: Recoding) -> Recoding:
    return Recoding(
        first.type, second.stored, _both(first.encode, second.encode), _both(second.decode, first.decode)
    )


def _both(first: Step | None, second: Step | None) -> Step | None:
    if first is None or second is None:
        return first or second
    return lambda array: second(first(array))


def cast(type_: pa.DataType, stored: pa.DataType) -> Recoding:
    """Through Arrow's checked casts: a value that does not fit raises ``ArrowInvalid``."""
    return Recoding(type_, stored, lambda array: array.cast(stored), lambda array: array.cast(type_))


def seconds(type_: pa.DataType) -> Recoding:
    """``time32[s]`` in milliseconds, for formats without seconds.

    Not a plain cast: Arrow's overflows silently for what is not a time of day.
    """

    def encode(array: pa.Array) -> pa.Array:
        import pyarrow.compute as pc

        wide = as_type(array, pa.int32()).cast(pa.int64())
        return as_type(pc.multiply(wide, 1000).cast(pa.int32()), pa.time32("ms"))

    return Recoding(type_, pa.time32("ms"), encode, lambda array: array.cast(type_))


def relabel(type_: pa.DataType, stored: pa.DataType) -> Recoding:
    """The same buffers under another type of the same layout: no value is looked at."""
    return Recoding(type_, stored, lambda array: as_type(array, stored), lambda array: as_type(array, type_))


def as_type(array: pa.Array, type_: pa.DataType) -> pa.Array:
    return pa.Array.from_buffers(type_, len(array), array.buffers(), array.null_count, array.offset)


def extension(type_: pa.BaseExtensionType, storage: Recoding) -> Recoding:
    def encode(array: pa.Array) -> pa.Array:
        return _apply(storage.encode, array.storage)

    def decode(array: pa.Array) -> pa.Array:
        return type_.wrap_array(_apply(storage.decode, array))

    return Recoding(type_, storage.stored, encode, decode)


def wide_index(type_: pa.DictionaryType, value: pa.DataType) -> Recoding:
    """A dictionary with 32-bit indices and values of type ``value``, for formats that hold dictionaries.

    Narrow indices are widened because one chunk of a file may join chunks with different
    dictionaries, and then has more distinct values than the narrow index can count.
    """
    stored = pa.dictionary(pa.int32(), value, type_.ordered)
    if stored.equals(type_):
        return keep(type_)
    same = value.equals(type_.value_type)

    def encode(array: pa.DictionaryArray) -> pa.Array:
        values = array.dictionary if same else array.dictionary.cast(value)
        return pa.DictionaryArray.from_arrays(array.indices.cast(pa.int32()), values, ordered=type_.ordered)

    def decode(array: pa.DictionaryArray) -> pa.Array:
        indices, values = array.indices, array.dictionary
        if len(values) > len(array):
            indices, values = _used(indices, values)
        values = values if same else values.cast(type_.value_type)
        return pa.DictionaryArray.from_arrays(_narrow(indices, type_), values, ordered=type_.ordered)

    return Recoding(type_, stored, encode, decode)


def _used(indices: pa.Array, values: pa.Array) -> tuple[pa.Array, pa.Array]:
    """Only the values that the indices point at: a slice may use few of its chunk's."""
    import pyarrow.compute as pc

    used = indices.unique().drop_null()
    return pc.index_in(indices, value_set=used, skip_nulls=True), taken(values, used)


def without_null_values(inner: Recoding) -> Recoding:
    """Nulls into the indices, for formats with no place for them in the dictionary."""

    def encode(array: pa.DictionaryArray) -> pa.Array:
        if not array.dictionary.null_count:
            return array
        plain = array.dictionary.take(array.indices).dictionary_encode()
        return plain.cast(pa.dictionary(pa.int32(), array.type.value_type, array.type.ordered))

    return Recoding(inner.type, inner.stored, _both(inner.encode, encode), inner.decode)


def text_or_bytes(type_: pa.DataType) -> pa.DataType:
    """``string`` or ``binary`` for the types that hold the same; raises ``RefusedError`` for others."""
    if pt.is_string(type_) or pt.is_large_string(type_) or pt.is_string_view(type_):
        return pa.string()
    if pt.is_binary(type_) or pt.is_large_binary(type_) or pt.is_binary_view(type_):
        return pa.binary()
    raise RefusedError(type_)


def _narrow(indices: pa.Array, type_: pa.DictionaryType) -> pa.Array:
    try:
        return indices.cast(type_.index_type)
    except pa.ArrowInvalid as error:
        raise CrowdedError from error


def plain_dictionary(type_: pa.DictionaryType, value: Recoding) -> Recoding:
    """The rows' values instead of indices; encoded again when read."""
    if pt.is_nested(value.stored):
        raise RefusedError(type_)

    def encode(array: pa.DictionaryArray) -> pa.Array:
        return taken(_apply(value.encode, array.dictionary), array.indices)

    def decode(array: pa.Array) -> pa.Array:
        coded = hashable(array).dictionary_encode()
        values = _apply(value.decode, as_type(coded.dictionary, value.stored))
        return pa.DictionaryArray.from_arrays(_narrow(coded.indices, type_), values, ordered=type_.ordered)

    return Recoding(type_, value.stored, encode, decode)


def taken(values: pa.Array, indices: pa.Array) -> pa.Array:
    """``values[indices]``, also for the views that Arrow's kernel does not know."""
    if pt.is_string_view(values.type):
        return values.cast(pa.large_string()).take(indices).cast(pa.string_view())
    if pt.is_binary_view(values.type):
        return values.cast(pa.large_binary()).take(indices).cast(pa.binary_view())
    return values.take(indices)


def hashable(array: pa.Array) -> pa.Array:
    """The array as a type that Arrow's hash kernels know and tell apart bit by bit.

    They take all NaNs for one, and do not know some fixed-width types.
    """
    if pt.is_floating(array.type) or pt.is_decimal32(array.type) or pt.is_decimal64(array.type):
        return as_type(array, {16: pa.int16(), 32: pa.int32(), 64: pa.int64()}[array.type.bit_width])
    return array


def run_ends(type_: pa.RunEndEncodedType, value: Recoding) -> Recoding:
    """The rows' values; runs are found again when read (not necessarily cut as they were)."""
    stored = value.stored
    if pt.is_nested(stored) or pt.is_dictionary(stored):
        raise RefusedError(type_)
    if pt.is_string_view(stored):
        value = chain(value, cast(stored, pa.large_string()))
    elif pt.is_binary_view(stored):
        value = chain(value, cast(stored, pa.large_binary()))

    def encode(array: pa.Array) -> pa.Array:
        import pyarrow.compute as pc

        if value.encode is None:
            return pc.run_end_decode(array)
        compact = pa.concat_arrays([array])  # a slice's values are all of them: only its runs count
        coded = pa.RunEndEncodedArray.from_arrays(compact.run_ends, value.encode(compact.values))
        return pc.run_end_decode(coded)

    def decode(array: pa.Array) -> pa.Array:
        import pyarrow.compute as pc

        try:
            coded = pc.run_end_encode(hashable(array), run_end_type=type_.run_end_type)
        except pa.ArrowInvalid as error:
            raise CrowdedError from error
        values = _apply(value.decode, as_type(coded.values, value.stored))
        return pa.RunEndEncodedArray.from_arrays(coded.run_ends, values, type=type_)

    return Recoding(type_, value.stored, encode, decode)


def empty_struct(type_: pa.StructType) -> Recoding:
    """A struct without fields holds nothing but its nulls: a column of booleans does too."""

    def decode(array: pa.Array) -> pa.Array:
        compact = pa.concat_arrays([array])
        return pa.Array.from_buffers(type_, len(compact), compact.buffers()[:1], compact.null_count)

    return Recoding(type_, pa.bool_(), _presence, decode)


def _presence(array: pa.Array) -> pa.Array:
    compact = pa.concat_arrays([array])
    bits = pa.py_buffer(b"\xff" * ((len(compact) + 7) // 8))
    return pa.Array.from_buffers(pa.bool_(), len(compact), [compact.buffers()[0], bits], compact.null_count)


def nested(type_: pa.DataType, rule: Rule) -> Recoding:
    """The same nesting over recoded children; raises ``RefusedError`` if there is none."""
    if pt.is_struct(type_):
        fields = [type_.field(i) for i in range(type_.num_fields)]
    elif pt.is_map(type_):
        fields = [type_.key_field, type_.item_field]
    elif _is_list(type_):
        fields = [type_.value_field]
    else:
        raise RefusedError(type_)
    children = [rule(field.type) for field in fields]
    if all(
        child.encode is None and child.decode is None and child.stored == child.type for child in children
    ):
        return keep(type_)
    stored = _like(
        type_, [field.with_type(child.stored) for field, child in zip(fields, children, strict=True)]
    )
    encoders, decoders = [child.encode for child in children], [child.decode for child in children]
    return Recoding(
        type_,
        stored,
        lambda array: _rebuild(array, stored, encoders),
        lambda array: _rebuild(array, type_, decoders),
    )


def renamed(type_: pa.DataType, stored: pa.DataType) -> Recoding:
    """The same nesting with other names, nullability or metadata of its fields."""
    none: list[Step | None] = [None] * type_.num_fields if not pt.is_map(type_) else [None, None]
    return Recoding(
        type_,
        stored,
        lambda array: _rebuild(array, stored, none),
        lambda array: _rebuild(array, type_, none),
    )


def as_list(type_: pa.DataType) -> Recoding:
    """Any kind of list (or map) as the ordinary list, children as they are."""
    if pt.is_map(type_):
        entry = pa.struct([type_.key_field, type_.item_field])
        stored = pa.list_(pa.field("entries", entry, nullable=False))

        def encode(array: pa.Array) -> pa.Array:
            return pa.Array.from_buffers(
                stored, len(array), array.buffers()[:2], array.null_count, array.offset, [_entries(array)]
            )

        def decode(array: pa.Array) -> pa.Array:
            return pa.Array.from_buffers(
                type_, len(array), array.buffers()[:2], array.null_count, array.offset, [array.values]
            )

        return Recoding(type_, stored, encode, decode)
    if pt.is_list(type_) or not _is_list(type_):
        return keep(type_)
    stored = pa.list_(type_.value_field)
    if pt.is_list_view(type_) or pt.is_large_list_view(type_):
        return Recoding(
            type_, stored, lambda array: _from_view(array, stored), lambda array: _as_view(array, type_)
        )
    return cast(type_, stored)


# Arrow 26's casts between lists and list views make arrays that do not validate, so not these.


def _from_view(array: pa.Array, type_: pa.DataType) -> pa.Array:
    import pyarrow.compute as pc

    sizes = pc.if_else(array.is_valid(), array.sizes, 0).cast(pa.int32())
    ends = pa.concat_arrays([pa.array([0], pa.int32()), pc.cumulative_sum_checked(sizes)])
    mask = array.is_null() if array.null_count else None
    return pa.ListArray.from_arrays(ends, array.flatten(), type=type_, mask=mask)


def _as_view(array: pa.ListArray, type_: pa.DataType) -> pa.Array:
    import pyarrow.compute as pc

    compact = pa.concat_arrays([array])
    ends, view = compact.offsets, pa.ListViewArray
    if pt.is_large_list_view(type_):
        ends, view = ends.cast(pa.int64()), pa.LargeListViewArray
    starts = ends[:-1]
    mask = compact.is_null() if compact.null_count else None
    sizes = pc.subtract(ends[1:], starts)
    return view.from_arrays(pa.concat_arrays([starts]), sizes, compact.values, type=type_, mask=mask)


def _is_list(type_: pa.DataType) -> bool:
    return bool(
        pt.is_list(type_)
        or pt.is_large_list(type_)
        or pt.is_fixed_size_list(type_)
        or pt.is_list_view(type_)
        or pt.is_large_list_view(type_)
    )


def _like(type_: pa.DataType, fields: list[pa.Field]) -> pa.DataType:
    if pt.is_struct(type_):
        return pa.struct(fields)
    if pt.is_map(type_):
        return pa.map_(fields[0], fields[1], keys_sorted=type_.keys_sorted)
    if pt.is_fixed_size_list(type_):
        return pa.list_(fields[0], type_.list_size)
    kinds = (
        (pt.is_list, pa.list_),
        (pt.is_large_list, pa.large_list),
        (pt.is_list_view, pa.list_view),
        (pt.is_large_list_view, pa.large_list_view),
    )
    return next(make(fields[0]) for test, make in kinds if test(type_))


def _rebuild(array: pa.Array, type_: pa.DataType, steps: list[Step | None]) -> pa.Array:
    """``array`` as ``type_``, each child through its step; offsets and nulls stay as they are."""
    if array.offset:
        array = pa.concat_arrays([array])  # a slice still carries all the children of the whole
    if pt.is_struct(type_):
        fields = [type_.field(i) for i in range(type_.num_fields)]
        # Below a null struct lies anything; flattened, nulls do.
        below = array.flatten() if array.null_count else [array.field(i) for i in range(len(fields))]
        children = [
            _apply(step, below[i] if fields[i].nullable else array.field(i)) for i, step in enumerate(steps)
        ]
        mask = array.is_null() if array.null_count else None
        return pa.StructArray.from_arrays(children, fields=fields, mask=mask)
    if pt.is_map(type_):
        children = [_apply(steps[0], array.keys), _apply(steps[1], array.items)]
        child = pa.StructArray.from_arrays(children, fields=[type_.key_field, type_.item_field])
        own = 2
    else:
        child = _apply(steps[0], array.values)
        own = 1 if pt.is_fixed_size_list(type_) else 2 if pt.is_list(type_) or pt.is_large_list(type_) else 3
    return pa.Array.from_buffers(type_, len(array), array.buffers()[:own], array.null_count, 0, [child])


def _entries(array: pa.MapArray) -> pa.Array:
    return pa.StructArray.from_arrays(
        [array.keys, array.items], fields=[array.type.key_field, array.type.item_field]
    )


def _apply(step: Step | None, array: pa.Array) -> pa.Array:
    return array if step is None else step(array)
