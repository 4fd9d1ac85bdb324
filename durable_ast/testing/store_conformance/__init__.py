"""What every store must do, as tests that anyone can run on a store of their own.

Subclass `StoreConformance` in a test module, say how your store is opened, and let pytest collect it:

    from durable_ast.testing.store_conformance import StoreConformance

    class TestMyStore(StoreConformance):
        def open(self, place):
            return MyStore(place / "data")

Each test gets an empty folder as its `place`; two stores opened at one place must see the same data,
as two processes would.  A store that lives in one process sets ``lists = False``; one that takes an
instance from a process which is not heard of for a while says after how many seconds, in `lease`.  No
plugin of pytest is needed.
"""

from .case import PROGRAMS, Place, commit, new, scenario
from .claims import Claims
from .deaths import Deaths
from .listing import Listing
from .messages import Messages
from .owners import Owners
from .parts import PartsOfInstances
from .retention import Retention
from .values import Values

__all__ = ["PROGRAMS", "Place", "StoreConformance", "commit", "new", "scenario"]


class StoreConformance(Values, Owners, Claims, Deaths, PartsOfInstances, Messages, Listing, Retention):
    """All tests; each part may be run alone, such as `Messages`."""
