"""Tells hcprof of a KV cache's retrievals (docs/nvtx.md). Needs NVIDIA's package: pip install nvtx.

    import hcprof_nvtx as hc

    with hc.step(i):
        with hc.fetch(id=n, layer=3, rows=512):     # around the copies
            gpu_rows.copy_(host_rows, non_blocking=True)
        with hc.use(fetch=n, layer=3):              # around the attention that reads them
            out = attention(q, gpu_rows)
        hc.mark("check", id=n, layer=3, median=0.31, threshold=0.5)

Without the package, or without a profiler, the ranges do nothing. Ids are yours: integers from 0 on,
each used for one check or fetch of the process.
"""

import contextlib

try:
    import nvtx
except ImportError:
    nvtx = None

_DOMAIN = "hcprof"


def _value(value):
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, (list, tuple)):
        return ",".join(_value(v) for v in value)
    if isinstance(value, float):
        return f"{value:.6f}"
    return str(value).replace(" ", "_")


def text(kind, fields):
    """A text of the convention; fields that are None are left out."""
    words = [kind] + [f"{name}={_value(v)}" for name, v in fields.items() if v is not None]
    return " ".join(words)


def mark(kind, **fields):
    """An event without a duration: results that are known later, `run name=... model=...`."""
    if nvtx is not None:
        nvtx.mark(text(kind, fields), domain=_DOMAIN)


@contextlib.contextmanager
def range(kind, **fields):
    """GPU work that is launched inside belongs to it."""
    if nvtx is None:
        yield
        return
    nvtx.push_range(text(kind, fields), domain=_DOMAIN)
    try:
        yield
    finally:
        nvtx.pop_range(domain=_DOMAIN)


def step(id, **fields):
    """One decode step; phase="prefill" for the prompt's pass."""
    return range("step", id=id, **fields)


def check(id, **fields):
    """What decides whether rows are fetched: layer, head, and with mark() median, threshold."""
    return range("check", id=id, **fields)


def fetch(id, **fields):
    """The calls that bring rows: layer, check, rows, wanted, runs, bytes, way, due."""
    return range("fetch", id=id, **fields)


def commit(fetch, **fields):
    """What moves fetched rows (an id or a list) to where attention reads them."""
    return range("commit", fetch=fetch, **fields)


def use(fetch, **fields):
    """The first attention that reads fetched rows (an id or a list)."""
    return range("use", fetch=fetch, **fields)
