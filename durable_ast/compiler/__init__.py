"""Source text in, code objects out.  Pure: it knows nothing of the runtime."""
