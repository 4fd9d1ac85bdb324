"""A store from the text that names it."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import Any

from ..state.codec import Key, codec_of, key_of_environment
from .base import InstanceStore

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):")
_PASSWORD = re.compile(r"(?<=://)[^/@]*@")


def open_store(
    url: str | os.PathLike[str],
    *,
    signing_key: Key | Sequence[Key] | None = None,
    encryption_key: Key | Sequence[Key] | None = None,
    compress: bool = False,
    **options: Any,
) -> InstanceStore:
    """The store of a URL or path.

    Args:
        url: ``sqlite:///path``, a path, or ``:memory:`` for SQLite; ``file:///path`` for a folder;
            ``redis://...``, ``rediss://...`` or ``unix:///path/of/redis.sock``; ``postgresql://...``.
        signing_key: a secret with which all that is stored is signed, and verified before it is read;
            the environment variable ``DURABLE_AST_KEY`` if it is left out.  Of several keys the first
            one signs, and all of them verify.
        encryption_key: 32 bytes, or their base64 text, with which all that instances hold is
            encrypted; of several the first one encrypts.  Needs the extra ``encryption``.
        compress: whether to compress it.
        options: what else the store takes, by name: see `SQLiteStore`, `DiskStateStore`,
            `durable_ast.stores.postgres.PostgresStore` and `durable_ast.stores.redis.RedisStore`.

    Raises:
        ValueError: it is no such URL.
        TypeError: it is no text at all.
        ImportError: the extra that the store needs is not installed.

    >>> open_store("sqlite:///orders.db").path.endswith("orders.db")
    True
    >>> open_store("mysql://me:secret@localhost")
    Traceback (most recent call last):
    ...
    ValueError: no store is known for 'mysql://***@localhost': use sqlite:///path, file:///folder, postgresql://... or redis://...
    """
    text = os.fspath(url) if isinstance(url, (str, os.PathLike)) else None
    if not isinstance(text, str):
        hint = "; make one of the class first" if isinstance(url, type) else ""
        raise TypeError(f"a store, or a URL or path that names one, is needed, not {url!r}{hint}")
    store = _plain_store(text, options)
    codec = codec_of(key_of_environment() if signing_key is None else signing_key, encryption_key, compress)
    if codec is None:
        return store
    from .coded import CodedStore

    return CodedStore(store, codec)


def _plain_store(text: str, options: dict[str, Any]) -> InstanceStore:
    scheme = _SCHEME.match(text)
    if (text and scheme is None) or text.startswith("sqlite:///"):
        from .sqlite import SQLiteStore

        return SQLiteStore(text, **options)
    if text.startswith("file:///"):
        from .disk import DiskStateStore

        return DiskStateStore(text.removeprefix("file:///"), **options)
    if text.startswith(("postgresql://", "postgres://")):
        from .postgres import PostgresStore

        return PostgresStore(text, **options)
    if text.startswith(("redis://", "rediss://", "unix://")):
        from .redis import RedisStore

        return RedisStore(text, **options)
    raise ValueError(
        f"no store is known for {_PASSWORD.sub('***@', text)!r}: use sqlite:///path, file:///folder, "
        "postgresql://... or redis://..."
    )
