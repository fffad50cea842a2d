"""How kernels are compiled: ahead of the first call, without the interpreter lock, and into numba's cache.

Kernels with a signature are compiled, or loaded from the cache, when their module is imported; the kernels that they
call are compiled into them. A new process therefore pays for loading machine code, not for making it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba


def kernel(signature: Any = None) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Compile a function with numba.

    :param signature: the types of an entry point, in a form of numba's; None for a function that only kernels call.
    """
    # Division by zero has to give infinity, as in numpy, and float sums have to keep their order: no fast math.
    options: dict[str, Any] = {"cache": True, "nogil": True, "error_model": "numpy"}
    if signature is None:
        return numba.njit(**options)  # type: ignore[no-any-return]
    return numba.njit(signature, **options)  # type: ignore[no-any-return]
