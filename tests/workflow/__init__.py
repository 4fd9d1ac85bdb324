"""What a user of the decorator API gets."""
