"""What surrounds the code of an instance: context variables, tasks, logging."""
