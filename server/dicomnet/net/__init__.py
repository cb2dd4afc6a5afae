"""The threaded shell: the only place in the engine with sockets, threads and clocks."""
