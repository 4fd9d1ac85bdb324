"""Real processes, killed with SIGKILL at random moments."""
