"""Checkpoints that one Python has written and another one reads."""
