"""Data sets as bytes and as text: read, scanned, converted, decompressed; no files of the store, no SQL, no network."""
