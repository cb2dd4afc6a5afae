"""Service class user: associations that this server opens itself."""
