"""DICOM Message Service Element (PS3.7): command sets, messages and their assembly; no I/O, no clock."""
