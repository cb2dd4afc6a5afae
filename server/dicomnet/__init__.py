"""DicomNet: a DICOM network engine for both roles, on the standard library alone."""
