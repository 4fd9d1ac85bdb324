"""The commands, one in each module; `register` adds it to the application."""
