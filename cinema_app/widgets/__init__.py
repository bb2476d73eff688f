"""The panels of the CineMA dock, one per file. A panel shows the reading and holds no truth of its own."""
