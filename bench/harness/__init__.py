"""Compares DICOM storage and query/retrieve servers on one machine; `bench/README.md` says how and what."""
