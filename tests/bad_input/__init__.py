"""What goes wrong through no fault of the library: a clear error, and nothing lost."""
