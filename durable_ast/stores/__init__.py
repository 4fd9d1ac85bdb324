"""Where instances are kept."""
