"""Workers that are killed, stopped and cut off, and what the log of their effects must show."""
