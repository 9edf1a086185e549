"""Any dataframe ↔ Arrow: the only room that knows pandas, Polars and NumPy.

``incoming`` turns whatever a user hands over into Arrow tables, ``to_pandas`` and ``to_polars`` turn Arrow
tables back. What a library knows and Arrow does not (an index, a nullable dtype, column labels that are no
strings) travels in the schema's metadata: under ``pandas`` in the form pandas documents, so that any reader
of pandas metadata understands it, and under ``atio.pandas`` for the rest. A frame without such things has
neither entry. Libraries are imported when they are needed, never to recognise an object.
"""

from atio.frames.base import Incoming, RangeIndex, merge_index
from atio.frames.intake import incoming
from atio.frames.pandas import to_pandas
from atio.frames.polars import to_polars

__all__ = ["Incoming", "RangeIndex", "incoming", "merge_index", "to_pandas", "to_polars"]
