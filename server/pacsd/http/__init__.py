"""What the server says over HTTP: /metrics, /healthz and /readyz, in a process of its own."""
