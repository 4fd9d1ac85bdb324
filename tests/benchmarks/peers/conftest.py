"""What pytest must leave alone: only `make peers` installs what these import."""

collect_ignore = ["dbos_system.py", "langgraph_system.py"]
