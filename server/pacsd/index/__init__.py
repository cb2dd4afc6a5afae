"""The SQL index of what the file store holds."""
