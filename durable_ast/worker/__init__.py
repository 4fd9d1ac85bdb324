"""A fleet: processes that share a store, and go on with whatever can go on."""
