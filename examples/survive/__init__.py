"""A month-end billing run that is killed again and again, and comes out right."""
