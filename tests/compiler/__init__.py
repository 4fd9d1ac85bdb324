"""Tests of the compiler as such; what compiled code does is tested in tests/language."""
