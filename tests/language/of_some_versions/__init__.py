"""Constructs that are Python in some of the supported versions only."""
