"""Instances to look at: what was saved, beside the text it was saved from.  Nothing is run or imported."""
