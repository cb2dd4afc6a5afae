"""What the archive does, in terms of studies, instances and peers; neither sockets nor SQL."""
