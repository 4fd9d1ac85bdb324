"""Every construct of the language, plainly, durably, and resumed from every checkpoint."""
