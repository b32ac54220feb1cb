"""The options of the report."""
