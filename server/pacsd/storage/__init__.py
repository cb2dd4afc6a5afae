"""The file store: layout, Part 10 files, the header scan."""
