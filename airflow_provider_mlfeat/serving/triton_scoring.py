"""Probabilities from a Triton server."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from airflow_provider_mlfeat.serving.triton.client import Access, AsyncTritonClient, TritonClient

Floats = npt.NDArray[np.float32]


class TritonScorer:
    """Asks one version of a model on a Triton server.

    :param endpoint: ``address`` (host:port), ``protocol``, ``model``, ``version``, and optionally ``tls``,
        ``ca_certificate`` and ``timeout``.
    :param has_values: whether the model has a second input.
    :param headers: of every request; they may be secret.
    """

    is_local = False

    def __init__(
        self, endpoint: Mapping[str, Any], *, has_values: bool, headers: tuple[tuple[str, str], ...] = ()
    ) -> None:
        access = Access(
            protocol=endpoint.get("protocol", "http"),
            tls=bool(endpoint.get("tls", False)),
            ca_certificate=endpoint.get("ca_certificate"),
            timeout=float(endpoint.get("timeout", 2.0)),
            headers=headers,
        )
        self._model, self._version = endpoint["model"], int(endpoint["version"])
        self._has_values = has_values
        self._client = TritonClient(endpoint["address"], access)
        self._async_client = AsyncTritonClient(endpoint["address"], access)

    def score(self, ids: npt.NDArray[np.int64], values: Floats) -> Floats:
        """One probability per row; waits."""
        found = self._client.infer(self._model, self._inputs(ids, values), version=self._version, outputs=("OUTPUT_0",))
        return np.asarray(found["OUTPUT_0"][:, 0], np.float32)

    async def score_later(self, ids: npt.NDArray[np.int64], values: Floats) -> Floats:
        """One probability per row; the event loop goes on meanwhile."""
        found = await self._async_client.infer(
            self._model, self._inputs(ids, values), version=self._version, outputs=("OUTPUT_0",)
        )
        return np.asarray(found["OUTPUT_0"][:, 0], np.float32)

    def _inputs(self, ids: npt.NDArray[np.int64], values: Floats) -> dict[str, npt.NDArray[Any]]:
        inputs: dict[str, npt.NDArray[Any]] = {"INPUT_0": np.ascontiguousarray(ids, np.int64)} if ids.shape[1] else {}
        if self._has_values:
            inputs["INPUT_1"] = np.ascontiguousarray(values, np.float32)
        return inputs

    def close(self) -> None:
        """Hang up."""
        self._client.close()
