"""Durable agents, offline."""
