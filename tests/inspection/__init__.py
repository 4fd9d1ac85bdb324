"""Instances to look at."""
