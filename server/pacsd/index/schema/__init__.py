"""The tables, how a header fills their columns, and the schema's versions."""
