"""SQL that is committed with a checkpoint."""
