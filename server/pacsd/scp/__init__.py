"""Service class provider: one handler a service, translating between DIMSE and the services."""
