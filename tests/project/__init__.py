"""The repository itself: its texts, its picture, its package."""
