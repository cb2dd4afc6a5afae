"""Real clients and destinations against a running server."""
