"""Between the runtime and the stores: what keeps instances and delivers events."""
