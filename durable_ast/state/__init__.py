"""The saved form of an instance, and nothing about where it is kept."""
