"""Values that a frame holds while its process is killed."""
