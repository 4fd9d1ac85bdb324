"""Steps, their attempts, and what happens inside of them."""
