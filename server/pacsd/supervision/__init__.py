"""The first process and the ones it forks: sockets, signals, replacement, reload and what they share."""
