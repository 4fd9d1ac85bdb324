"""Functions with several branches."""
