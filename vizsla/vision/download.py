"""Fetches one file over HTTP, whole and checked, or says in a sentence why not.

Used by `weights.py` for what torchvision publishes. Nothing is resumed and nothing half-written stays.
"""

from __future__ import annotations

import hashlib
import http.client
import os
import secrets
import urllib.error
import urllib.request
from contextlib import contextmanager
from typing import TYPE_CHECKING

from vizsla.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Progress = Callable[[int, int | None], None]  # bytes so far, bytes in all where the server says so

_CHUNK_BYTES = 1 << 20
_TIMEOUT_S = 30


def fetch(url: str, to: Path, sha256_prefix: str | None, progress: Progress | None = None) -> Path:
    """Downloads `url` to the file `to`, which appears whole and checked or not at all, also when two do it at once.

    UserError, naming the cause, when the server cannot be reached, has no such file, sends too little or something
    else than the hash says, or when the file cannot be written.
    """
    if not url.startswith(("http://", "https://")):
        raise UserError(f"{url} is not an address that weights can come from.", "It has to start with https://.")
    with _writing(to):
        to.parent.mkdir(parents=True, exist_ok=True)
    part = to.with_name(f".{to.name}.{secrets.token_hex(4)}.part")
    try:
        digest = _receive(url, part, progress)
        if sha256_prefix and not digest.startswith(sha256_prefix):
            raise UserError(
                f"What {url} sent is not the file it should be: its SHA-256 starts with "
                f"{digest[: len(sha256_prefix)]}, not with {sha256_prefix}.",
                "A proxy or a mirror on the way answers with another file.",
            )
        with _writing(to):
            part.replace(to)
    finally:
        part.unlink(missing_ok=True)
    return to


def _receive(url: str, part: Path, progress: Progress | None) -> str:
    """Writes what `url` sends to `part`, down to the disk; returns its SHA-256."""
    digest, size_bytes = hashlib.sha256(), 0
    with _open(url) as response, _writing(part), part.open("xb") as file:
        length = response.headers.get("Content-Length", "")
        total_bytes = int(length) if length.isdecimal() else None
        for chunk in _chunks(response, url):
            file.write(chunk)
            digest.update(chunk)
            size_bytes += len(chunk)
            if progress:
                progress(size_bytes, total_bytes)
        file.flush()
        os.fsync(file.fileno())
    if total_bytes is not None and size_bytes != total_bytes:
        raise UserError(f"{url} sent {size_bytes:,} bytes of {total_bytes:,} and stopped.", "Try again.")
    return digest.hexdigest()


def _open(url: str) -> http.client.HTTPResponse:
    request = urllib.request.Request(url, headers={"User-Agent": "vizsla"})  # noqa: S310 (fetch checked the scheme)
    try:
        response: http.client.HTTPResponse = urllib.request.urlopen(request, timeout=_TIMEOUT_S)  # noqa: S310
    except urllib.error.HTTPError as error:
        error.close()
        raise UserError(f"{url} answers {error.code} {error.reason}.", "Check the address.") from error
    except (OSError, ValueError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        raise UserError(f"{url} cannot be reached: {reason}.", "Check the connection and the proxy.") from error
    return response


def _chunks(response: http.client.HTTPResponse, url: str) -> Iterator[bytes]:
    try:
        while chunk := response.read(_CHUNK_BYTES):
            yield chunk
    except (OSError, http.client.HTTPException) as error:
        raise UserError(f"The download of {url} broke off: {error}.", "Try again.") from error


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(
            f"{path} cannot be written: {error.strerror}.",
            "Make room there, or choose another place with TORCH_HOME.",
        ) from error
