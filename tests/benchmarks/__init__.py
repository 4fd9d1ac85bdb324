"""What durability costs: ``python -m tests.benchmarks`` prints it, nothing here asserts it."""
