"""`RedisStore`; needs the extra ``redis``."""

from .stores.redis import RedisStore

__all__ = ["RedisStore"]
