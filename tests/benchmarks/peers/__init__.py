"""The same work done by other systems, on one machine in one run; see `__main__`."""
