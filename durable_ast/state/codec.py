"""What is done to bytes on their way to a store: compression, encryption, signing.

A codec turns bytes into other bytes and back.  Both ways it is told the place of the bytes, such as
the instance and the sequence number, so what was written in one place is worth nothing in another.
Nothing here is pickled, and nothing is unpickled before it has passed.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import zlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TypeAlias

from ..errors import TamperedStateError

Key: TypeAlias = str | bytes


class Codec(ABC):
    """Turns bytes into other bytes and back.

    Attributes:
        authenticates: whether it refuses what was written without a key.
    """

    authenticates = False

    @abstractmethod
    def encode(self, data: bytes, place: bytes) -> bytes:
        """What to store."""

    @abstractmethod
    def decode(self, data: bytes, place: bytes) -> bytes:
        """What `encode` was given.

        Raises:
            TamperedStateError: that cannot be told, or it was written in another place.
        """


class Chain(Codec):
    """Several codecs; what comes first is done first when encoding.

    >>> chain = Chain([Compression(), Signing("secret")])
    >>> stored = chain.encode(b"state" * 1000, b"here")
    >>> len(stored) < 100, chain.decode(stored, b"here") == b"state" * 1000
    (True, True)
    """

    def __init__(self, codecs: Sequence[Codec]) -> None:
        self._codecs = tuple(codecs)
        self.authenticates = any(codec.authenticates for codec in codecs)

    def encode(self, data: bytes, place: bytes) -> bytes:
        for codec in self._codecs:
            data = codec.encode(data, place)
        return data

    def decode(self, data: bytes, place: bytes) -> bytes:
        for codec in reversed(self._codecs):
            data = codec.decode(data, place)
        return data


class Compression(Codec):
    """Compresses what gets smaller by it.

    Args:
        level: from 1, fast, to 9, small.
        threshold: from how many bytes on.
    """

    def __init__(self, level: int = 1, threshold: int = 512) -> None:
        self._level, self._threshold = level, threshold

    def encode(self, data: bytes, place: bytes) -> bytes:
        if len(data) >= self._threshold:
            small = zlib.compress(data, self._level)
            if len(small) < len(data):
                return b"z" + small
        return b"-" + data

    def decode(self, data: bytes, place: bytes) -> bytes:
        if data[:1] == b"-":
            return data[1:]
        try:
            if data[:1] == b"z":
                return zlib.decompress(data[1:])
        except zlib.error as error:
            raise TamperedStateError(f"it cannot be decompressed: {error}") from error
        raise TamperedStateError("it was stored without compression, or is damaged")


class Signing(Codec):
    """Adds an HMAC-SHA256 over the place and the bytes, and refuses what has none.

    Args:
        key: the secret.
        older_keys: keys that were used before; what they signed is accepted.

    >>> signing = Signing("new", older_keys=["old"])
    >>> signing.decode(Signing("old").encode(b"state", b"here"), b"here")
    b'state'
    >>> signing.decode(Signing("old").encode(b"state", b"here"), b"there")
    Traceback (most recent call last):
        ...
    durable_ast.errors.TamperedStateError: its signature is wrong: it was changed, copied from elsewhere, or signed with another key
    """

    authenticates = True
    _MARK = b"S1"

    def __init__(self, key: Key, older_keys: Sequence[Key] = ()) -> None:
        self._keys = [_secret(each) for each in (key, *older_keys)]

    def encode(self, data: bytes, place: bytes) -> bytes:
        return self._MARK + _mac(self._keys[0], place, data) + data

    def decode(self, data: bytes, place: bytes) -> bytes:
        if data[:2] != self._MARK or len(data) < 34:
            raise TamperedStateError("it has no signature: it was written without a key, or by somebody else")
        found, body = data[2:34], data[34:]
        if not any(hmac.compare_digest(found, _mac(key, place, body)) for key in self._keys):
            raise TamperedStateError(
                "its signature is wrong: it was changed, copied from elsewhere, or signed with another key"
            )
        return body


class Encryption(Codec):
    """Encrypts with AES-GCM, which authenticates as well; needs the extra ``encryption``.

    Args:
        key: 32 bytes, or their base64 text.
        older_keys: keys that were used before; what they encrypted is read.
    """

    authenticates = True
    _MARK = b"E1"

    def __init__(self, key: Key, older_keys: Sequence[Key] = ()) -> None:
        try:
            from cryptography.hazmat.primitives.ciphers.aead import AESGCM
        except ImportError as error:
            raise ImportError("encryption needs cryptography: pip install 'durable-ast[encryption]'") from error
        keys = [_encryption_key(each) for each in (key, *older_keys)]
        self._ciphers = {hashlib.sha256(each).digest()[:4]: AESGCM(each) for each in keys}
        self._current = hashlib.sha256(keys[0]).digest()[:4]

    def encode(self, data: bytes, place: bytes) -> bytes:
        nonce = os.urandom(12)
        sealed: bytes = self._ciphers[self._current].encrypt(nonce, data, place)
        return self._MARK + self._current + nonce + sealed

    def decode(self, data: bytes, place: bytes) -> bytes:
        from cryptography.exceptions import InvalidTag

        cipher = self._ciphers.get(data[2:6])
        if data[:2] != self._MARK or cipher is None:
            raise TamperedStateError("it was not encrypted with a key that is known here")
        try:
            opened: bytes = cipher.decrypt(data[6:18], data[18:], place)
        except (InvalidTag, ValueError) as error:
            raise TamperedStateError("it cannot be decrypted: it was changed, or copied from elsewhere") from error
        return opened


def codec_of(
    signing_key: Key | Sequence[Key] | None, encryption_key: Key | Sequence[Key] | None, compress: bool
) -> Codec | None:
    """The codec for these wishes, of several keys the first is the current one; None for none."""
    codecs: list[Codec] = []
    if compress:
        codecs.append(Compression())
    if encryption_key is not None:
        current, *older = _several(encryption_key)
        codecs.append(Encryption(current, older))
    if signing_key is not None:
        current, *older = _several(signing_key)
        codecs.append(Signing(current, older))
    return Chain(codecs) if codecs else None


def key_of_environment() -> str | None:
    """The signing key that the environment variable ``DURABLE_AST_KEY`` holds, if it is set."""
    return os.environ.get("DURABLE_AST_KEY") or None


def _several(keys: Key | Sequence[Key]) -> Sequence[Key]:
    if isinstance(keys, (str, bytes)):
        return [keys]
    if not keys:
        raise ValueError("there must be one key or more")
    return keys


def _secret(key: Key) -> bytes:
    secret = key.encode() if isinstance(key, str) else bytes(key)
    if not secret:
        raise ValueError("a signing key must not be empty")
    return secret


def _encryption_key(key: Key) -> bytes:
    secret = base64.b64decode(key) if isinstance(key, str) else bytes(key)
    if len(secret) != 32:
        raise ValueError(f"an encryption key is 32 bytes, or their base64 text; this one has {len(secret)} bytes")
    return secret


def _mac(key: bytes, place: bytes, data: bytes) -> bytes:
    mac = hmac.new(key, len(place).to_bytes(8, "big"), hashlib.sha256)
    mac.update(place)
    mac.update(data)
    return mac.digest()
