"""The compiler measured against code that it was not written for: CPython's own tests, and every
``async def`` of the standard library and of well-known packages."""
