"""DICOM Upper Layer (PS3.8): PDUs, framing, negotiation and the association state machine; no I/O, no clock."""
