"""pacsd: a PACS storage and query server."""

__version__ = "0.1.0"
