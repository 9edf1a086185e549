"""Reading and writing the immutable metadata files, every byte checked against its reference."""
