"""What a user gets."""
