"""Random programs: each must do the same plainly, durably, and resumed from every checkpoint."""
