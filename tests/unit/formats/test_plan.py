"""The cache of plans."""

import pyarrow as pa

from atio.formats.plan import PerSchema


def test_a_schema_is_planned_once():
    made = []
    plans = PerSchema(lambda schema: made.append(schema) or object())
    schema = pa.schema([("a", pa.int8())])
    assert plans(schema) is plans(schema)
    assert plans(pa.schema([("a", pa.int8())])) is plans(schema)
    assert len(made) == 1


def test_metadata_make_another_schema():
    plans = PerSchema(lambda schema: object())
    plain = pa.schema([pa.field("a", pa.int8())])
    numbered = pa.schema([pa.field("a", pa.int8(), metadata={"PARQUET:field_id": "1"})])
    described = plain.with_metadata({"x": "y"})
    assert len({id(plans(schema)) for schema in (plain, numbered, described)}) == 3


def test_the_cache_is_bounded_and_never_confuses_schemas():
    plans = PerSchema(lambda schema: schema.names, size=4)
    for i in range(100):
        # Schemas that nobody else keeps: their ids come again.
        assert plans(pa.schema([(f"c{i}", pa.int8())])) == [f"c{i}"]
    assert len(plans._entries) <= 4
