"""Read the newest version of an atio table: written from this specification's words, for Parquet."""

import base64
import io
import json
import re
import struct
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import xxhash

Json = dict[str, Any]


class DamagedError(Exception): ...


def read_table(folder: str | Path) -> pa.Table:
    """Return the rows of the newest version (read.md); which schema a file has: snapshot.md."""
    root = Path(folder)
    version, _, identity, size, checksum = load_pointer(root)["snapshot"][:5]
    path = f"metadata/{identity}.json"
    snapshot = json.loads(checked(root, {"path": path, "size": size, "hash": checksum}))
    schemas = [json.loads(checked(root, ref)) for ref in snapshot["schemas"]]
    named = [snapshot["version"], snapshot["id"], *(schema["id"] for schema in schemas)]
    if named != [version, identity, *(ref["id"] for ref in snapshot["schemas"])]:
        raise DamagedError(f"{path} or a schema of it is another one")
    parts = []
    for file in live_files(root, snapshot):
        fitting = [schema for schema in schemas if schema["id"] >= file.get("schema_id", 1)]
        parts.append(read_file(root, file, min(fitting, key=lambda s: int(s["id"])), schemas[0]))
    fields = pa.schema([arrow_field(field) for field in schemas[0]["fields"]])
    whole = pa.concat_tables(parts) if parts else fields.empty_table()
    return whole.replace_schema_metadata(arrow_metadata(schemas[0]))


def load_pointer(root: Path) -> Json:
    """Check and parse ``current`` (pointer.md)."""
    data = (root / "current").read_bytes()
    if (stamp := re.match(rb'\{"format_version":(\d+)[,}]', data)) and int(stamp[1]) > 1:
        raise NotImplementedError(f"format version {int(stamp[1])}")
    line, _, rest = data.partition(b"\n")
    if rest != xxhash.xxh3_64_hexdigest(line).encode() + b"\n":
        raise DamagedError("current is not what was written")
    pointer: Json = json.loads(line)
    if unknown := set(pointer.get("features", {}).get("read", [])) - {"deletion-vectors"}:
        raise NotImplementedError(f"features {unknown}")
    return pointer


def checked(root: Path, ref: Json) -> bytes:
    """Return the bytes of a file if size and hash agree (integrity.md, layout.md)."""
    path = str(ref["path"])
    if set(path.split("/")) & {"", ".", ".."} or re.search(r"[\\:\0]", path):
        raise DamagedError(f"{path!r} is no path within the table")
    data = (root / path).read_bytes() if (root / path).is_file() else b""
    if len(data) != ref["size"] or xxhash.xxh3_64_hexdigest(data) != ref["hash"]:
        raise DamagedError(f"{path} is missing or is not what was written")
    return data


def live_files(root: Path, snapshot: Json) -> list[Json]:
    """List the data files in row order (snapshot.md, manifest.md)."""
    found: list[Json] = []
    for ref in snapshot.get("manifests", []):
        manifest = pq.ParquetFile(io.BytesIO(checked(root, ref)))
        if manifest.metadata.num_rows != ref["entries"]:
            raise DamagedError(f"{ref['path']} has other entries")
        entries = manifest.read().to_pylist()
        found += [entry for i, entry in enumerate(entries) if i not in ref.get("removed", [])]
    return [*found, *snapshot.get("files", [])]


def read_file(root: Path, file: Json, source: Json, target: Json) -> pa.Table:
    """Return the file's rows with the target's columns, mapped by field id (read.md)."""
    if file.get("format", "parquet") != "parquet":
        raise NotImplementedError(file["format"])
    names = {field["id"]: field["name"] for field in source["fields"]}
    stored = pq.read_table(io.BytesIO(checked(root, file))) if file["size"] else None
    if stored is not None and stored.num_rows != file["rows"]:
        raise DamagedError(f"{file['path']} has other rows")
    schema, columns = pa.schema([arrow_field(field) for field in target["fields"]]), []
    for field, kind in zip(target["fields"], schema.types, strict=True):
        name = names.get(field["id"])
        if stored is not None and name is not None:
            column = stored.column(name)
        elif "default" in field:
            column = pa.array([value(field["default"], kind)] * file["rows"], kind)
        else:
            column = pa.nulls(file["rows"], kind)
        if pa.types.is_dictionary(kind) and field["type"].get("values") is not None:
            column = categorical(column, kind, field["type"]["values"])
        columns.append(column if column.type == kind else column.cast(kind))
    table = pa.Table.from_arrays(columns, schema=schema)
    deleted = deleted_rows(root, file)
    return table.take([i for i in range(file["rows"]) if i not in deleted]) if deleted else table


def deleted_rows(root: Path, file: Json) -> set[int]:
    """Return the positions in a file's deletion vector (data.md)."""
    found = file.get("deleted") or {
        name[8:]: member for name, member in file.items() if name.startswith("deleted_")
    }
    if not found.get("path"):
        return set()
    data = checked(root, found)[found["offset"] : found["offset"] + found["length"]]
    cookie, many = struct.unpack_from("<HH", data)
    count, at = (many + 1, 4) if cookie == 12347 else (struct.unpack_from("<I", data, 4)[0], 8)
    runs = data[at : at + (count + 7) // 8] if cookie == 12347 else b""
    keys = struct.unpack_from(f"<{2 * count}H", data, at + len(runs))
    at += len(runs) + 4 * count + (0 if runs and count < 4 else 4 * count)
    places: set[int] = set()
    for i, (key, less) in enumerate(zip(keys[::2], keys[1::2], strict=True)):
        if runs and runs[i // 8] >> i % 8 & 1:
            (size,) = struct.unpack_from("<H", data, at)
            pairs = struct.iter_unpack("<HH", data[at + 2 : at + 2 + 4 * size])
            held, at = [n for start, more in pairs for n in range(start, start + more + 1)], at + 2 + 4 * size
        elif less < 4096:
            held, at = list(struct.unpack_from(f"<{less + 1}H", data, at)), at + 2 * (less + 1)
        else:
            bits, at = data[at : at + 8192], at + 8192
            held = [n for n in range(65536) if bits[n // 8] >> n % 8 & 1]
        places.update(key * 65536 + n for n in held)
    if at != len(data) or len(places) != found["count"] or max(places) >= file["rows"]:
        raise DamagedError(f"the deletion vector of {file['path']} is not valid")
    return places


def categorical(column: Any, kind: pa.DataType, values: list[Any]) -> pa.ChunkedArray:
    """Give a column the version's categories."""
    inner = kind.value_type
    known = pa.array([value(found, inner) for found in values], inner)
    plain = pa.chunked_array([column.cast(inner) if column.type != inner else column])
    places = pc.index_in(plain, value_set=known, skip_nulls=True)
    if places.null_count != plain.null_count:
        raise DamagedError("a value is not among the categories")
    indices = places.cast(kind.index_type).combine_chunks()
    return pa.chunked_array([pa.DictionaryArray.from_arrays(indices, known, ordered=kind.ordered)])


def value(found: Any, kind: pa.DataType) -> Any:
    """Return a value in JSON as one of its type (schema.md, "Values")."""
    if not isinstance(found, str) or "string" in str(kind):
        return found
    make: Any = Decimal if pa.types.is_decimal(kind) else base64.b64decode
    return float(found) if pa.types.is_floating(kind) else make(found)


def arrow_metadata(owner: Json) -> dict[bytes, bytes] | None:
    def plain(text: str) -> bytes:
        return base64.b64decode(text[7:]) if text.startswith("base64:") else text.encode()

    return {plain(k): plain(v) for k, v in owner.get("metadata", {}).items()} or None


def arrow_field(field: Json) -> pa.Field:
    name, nullable = field["name"], field.get("nullable", True)
    return pa.field(name, arrow_type(field["type"]), nullable, arrow_metadata(field))


def arrow_type(kind: Any) -> pa.DataType:
    """Follow the grammar of schema.md."""
    if isinstance(kind, str):
        if found := re.fullmatch(r"timestamp\[(s|ms|us|ns), tz=(.{1,64})\]", kind):
            return pa.timestamp(found[1], found[2])
        if found := re.fullmatch(r"(decimal\d+)\((\d+), (-?\d+)\)", kind):
            return getattr(pa, found[1])(int(found[2]), int(found[3]))
        width = re.fullmatch(r"fixed_size_binary\[(\d+)\]", kind)
        return pa.binary(int(width[1])) if width else pa.type_for_alias(kind)
    match kind["kind"]:
        case "struct":
            return pa.struct([arrow_field(field) for field in kind["fields"]])
        case "list":
            layout = kind.get("layout", "list").removeprefix("fixed_size_")
            item = arrow_field(kind["item"])
            return pa.list_(item, kind.get("size", -1)) if layout == "list" else getattr(pa, layout)(item)
        case "map":
            return pa.map_(arrow_field(kind["key"]), arrow_field(kind["value"]), kind.get("sorted", False))
        case "dictionary":
            return pa.dictionary(kind["index"], arrow_type(kind["value"]), kind.get("ordered", False))
        case "extension":
            return arrow_type(kind["storage"])
    raise NotImplementedError(kind["kind"])
