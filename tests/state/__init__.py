"""Tests of the saved form of an instance."""
