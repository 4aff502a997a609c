"""Request bodies that a client has compressed."""

import io
import zlib

import zstandard
from starlette.types import Scope

from ..errors import InvalidRequest, TooLarge, UnsupportedEncoding

CONTENT_ENCODING = b"content-encoding"

#: For a frame that asks for a larger one, memory would not be bounded by the size of the body (RFC 9659).
_ZSTD_WINDOW = 8 * 2**20

#: A gzip file may have several members. What follows one is copied, so a body of empty ones would take quadratic time.
_MAX_MEMBERS = 64

_GZIP, _ZLIB, _RAW_DEFLATE = 31, 15, -15  # `wbits` of zlib


def encoding_of(scope: Scope) -> str | None:
    """The encoding of a request's body; None where it is not compressed.

    Raises:
        UnsupportedEncoding: it is unknown, or there are several, one over the other.
    """
    values: list[str] = [value.decode("latin-1") for name, value in scope["headers"] if name == CONTENT_ENCODING]
    given = [part.strip().lower() for value in values for part in value.split(",")]
    encodings = [encoding.removeprefix("x-") for encoding in given if encoding not in ("", "identity")]
    if not encodings:
        return None
    if len(encodings) > 1 or encodings[0] not in UnsupportedEncoding.SUPPORTED:
        raise UnsupportedEncoding(", ".join(values))
    return encodings[0]


def decode(body: bytes, encoding: str, limit: int) -> bytes:
    """The body as it was before it was compressed. Never produces more than one byte above the limit.

    Raises:
        TooLarge: it would be larger than the limit.
        InvalidRequest: it is not what its header says, or is incomplete.
    """
    try:
        if encoding == "zstd":
            return _unzstd(body, limit)
        if encoding == "gzip":
            return _inflate(body, _GZIP, limit)
        # By the standard it is zlib's format; some clients leave out its header.
        return _inflate(body, _ZLIB if _has_zlib_header(body) else _RAW_DEFLATE, limit)
    except (zlib.error, zstandard.ZstdError) as error:
        raise InvalidRequest("body", f"cannot be decoded as Content-Encoding {encoding} says: {error}") from None


def replace_headers(scope: Scope, size: int) -> None:
    """Describe the decoded body instead of the one that was sent."""
    kept = [(name, value) for name, value in scope["headers"] if name not in (CONTENT_ENCODING, b"content-length")]
    scope["headers"] = [*kept, (b"content-length", str(size).encode())]


def _inflate(body: bytes, wbits: int, limit: int) -> bytes:
    decoded = bytearray()
    for _ in range(_MAX_MEMBERS):
        inflater = zlib.decompressobj(wbits)
        decoded += inflater.decompress(body, limit + 1 - len(decoded))
        if len(decoded) > limit:
            raise TooLarge(limit)
        if not inflater.eof:
            raise zlib.error("it is incomplete")
        body = inflater.unused_data
        if not body:
            return bytes(decoded)
    raise zlib.error(f"it has more than {_MAX_MEMBERS} members")


def _unzstd(body: bytes, limit: int) -> bytes:
    decompressor = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW)
    with decompressor.stream_reader(io.BytesIO(body), read_across_frames=True) as reader:
        decoded = reader.read(limit + 1)
    if len(decoded) > limit:
        raise TooLarge(limit)
    return decoded


def _has_zlib_header(body: bytes) -> bool:
    """RFC 1950: the method is 8, and the first two bytes are a multiple of 31."""
    return len(body) >= 2 and body[0] & 0x0F == 8 and int.from_bytes(body[:2], "big") % 31 == 0
