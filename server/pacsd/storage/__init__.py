"""The file store: its layout, files on their way in, and the disk below."""
