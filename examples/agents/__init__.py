"""Agents that survive the death of their process; none but `provider` needs a key or a network."""
