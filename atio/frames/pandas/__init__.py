"""pandas ↔ Arrow, exactly."""

from atio.frames.pandas.read import to_pandas
from atio.frames.pandas.write import column, from_pandas, is_column

__all__ = ["column", "from_pandas", "is_column", "to_pandas"]
