"""A GGUF model on the web: its header by range requests, nothing else downloaded."""

from __future__ import annotations

import re
import urllib.parse
from collections.abc import Mapping

from vramctl.errors import BadInput
from vramctl.formats import gguf
from vramctl.formats.gguf_cursor import MAX_HEADER_BYTES
from vramctl.formats.gguf_split import joined_header, part_names
from vramctl.formats.model import check_part, join
from vramctl.probes.header_cache import Folder
from vramctl.records import Model, Unknown
from vramctl.world.http import Progress, fetch_range, shown_url, split_url

DEFAULT_ENDPOINT = "https://huggingface.co"
# Bytes from the start of the file, step by step: tiny headers, a Llama 3 one (7 MiB), and what is larger.
STEPS = (256 << 10, 8 << 20, 16 << 20, 32 << 20, 64 << 20, MAX_HEADER_BYTES)
_HUB = re.compile(r"^(?P<org>[\w.-]+)/(?P<repo>[\w.-]+)(?:/(?P<file>[^@]+?))?/?(?:@(?P<revision>[^@]+))?$")


def look(
    reference: str, environ: Mapping[str, str], *, cache: Folder | None = None, progress: Progress | None = None
) -> Model:
    """The Model at an `https://` address or `hf:ORG/REPO/FILE.gguf[@REV]`, its header's bytes kept for a stand-in."""
    endpoint = environ.get("HF_ENDPOINT", "").rstrip("/") or DEFAULT_ENDPOINT
    url = hub_url(reference, endpoint) if reference[:3].lower() == "hf:" else reference
    token = environ.get("HF_TOKEN", "").strip() or None
    if token is not None and (_origin(url) != _origin(endpoint) or not token.isprintable() or not token.isascii()):
        token = None
    names = _part_urls(url)
    first = names[0] if names else url
    header, data, size = fetch_header(first, token=token, cache=cache, progress=progress)
    if header.split is None:
        return _model(reference, [header], [data], [size], (shown_url(first),))
    if len(names) != header.split.count:
        raise BadInput(
            "split-renamed",
            f"{shown_url(first)} is part {header.split.number + 1} of {header.split.count}, but is not named so.",
            because=("the other parts are found by their names, NAME-00001-of-00002.gguf and so on",),
            fix="Give the address of the first part under its own name.",
        )
    check_part(header, 0, len(names), shown_url(first))
    headers, parts, sizes = [header], [data], [size]
    for index, name in enumerate(names[1:], 1):
        header, data, size = fetch_header(name, token=token, cache=cache, progress=progress)
        check_part(header, index, len(names), shown_url(name))
        headers.append(header)
        parts.append(data)
        sizes.append(size)
    return _model(reference, headers, parts, sizes, tuple(shown_url(name) for name in names))


def _model(
    reference: str, headers: list[gguf.Header], parts: list[bytes], sizes: list[int], names: tuple[str, ...]
) -> Model:
    return join(reference, headers, names=names, sizes=sizes, header=joined_header(parts, headers))


def hub_url(reference: str, endpoint: str) -> str:
    """The address of `hf:ORG/REPO/FILE.gguf[@REV]`; BadInput where the file is not named."""
    match = _HUB.match(reference[3:])
    if match is None or match["file"] is None or not match["file"].lower().endswith(".gguf"):
        named = f"{match['org']}/{match['repo']}" if match else "ORG/REPO"
        raise BadInput(
            "bad-hub-name",
            f"{reference} does not name a GGUF file on the hub.",
            because=("it is written hf:ORG/REPO/FILE.gguf, with @REVISION for another than main",),
            fix=f"Pick a file from {endpoint}/{named}/tree/main and write hf:{named}/FILE.gguf",
        )
    revision = urllib.parse.quote(match["revision"] or "main", safe="")
    return f"{endpoint}/{match['org']}/{match['repo']}/resolve/{revision}/{urllib.parse.quote(match['file'])}"


def fetch_header(
    url: str, *, token: str | None, cache: Folder | None = None, progress: Progress | None = None
) -> tuple[gguf.Header, bytes, int]:
    """The header of a remote GGUF file, the bytes it was read from, and the file's size in bytes."""
    where = shown_url(url)
    start = fetch_range(url, 0, STEPS[0], token=token, progress=progress)
    data, size, etag = start.data, start.file_bytes, start.etag
    kept = cache.read(url, size, etag) if cache is not None and not isinstance(etag, Unknown) else None
    if kept is not None and kept.startswith(data[: len(kept)]):
        try:
            return gguf.parse(kept, file_bytes=size, where=where), kept, size
        except (BadInput, gguf.MoreBytesNeeded):
            kept = None  # a damaged entry: fetched anew below
    while True:
        try:
            header = gguf.parse(data, file_bytes=size, where=where)
            break
        except gguf.MoreBytesNeeded as more:
            wanted = min(size, next(step for step in STEPS if step >= more.at_least))
            rest = fetch_range(url, len(data), wanted - len(data), token=token, progress=progress)
            if (rest.file_bytes, rest.etag) != (size, etag):
                raise BadInput(
                    "remote-changed",
                    f"{where} changed while it was read.",
                    because=("its size or ETag is another than a moment ago",),
                    fix="Try again.",
                ) from None
            data += rest.data
    data = data[: header.data_offset]
    if cache is not None and not isinstance(etag, Unknown):
        cache.write(url, size, etag, data)
    return header, data, size


def _part_urls(url: str) -> tuple[str, ...]:
    """The addresses of all parts of a split set, by the name of one; empty for a file of its own."""
    parts = split_url(url)
    return tuple(urllib.parse.urlunsplit(parts._replace(path=path)) for path in part_names(parts.path))


def _origin(url: str) -> tuple[str, str]:
    parts = split_url(url)
    return parts.scheme, parts.netloc
