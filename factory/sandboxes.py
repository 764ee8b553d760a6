"""Sandboxes for stages, sources and measures that run programs; without isolation the user is told what to do."""

from collections.abc import Iterator
from contextlib import contextmanager

from factory.protocols import UserError
from verifiers.sandbox import SandboxMissing
from verifiers.sandbox_pool import SandboxPool


@contextmanager
def sandboxes(workers: int) -> Iterator[SandboxPool]:
    """A pool of sandboxes; UserError, with what to install or to allow, when this machine offers no isolation."""
    try:
        with SandboxPool(workers) as pool:
            yield pool
    except SandboxMissing as error:
        raise UserError(str(error)) from error
