"""Programs to read and to run; each runs alone, with ``python -m examples.NAME``."""
