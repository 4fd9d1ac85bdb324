"""Instances whose code was edited since their last checkpoint."""
