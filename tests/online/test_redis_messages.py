"""What Redis says is told; whose rows it said it about is not."""

from __future__ import annotations

import pytest
from redis import exceptions

from airflow_provider_mlfeat.errors import TransientError, UserError
from airflow_provider_mlfeat.online.opening import StoreAddress
from airflow_provider_mlfeat.online.redis.client import redis_errors

IN_A_PIPELINE = "Command # 3 (ZADD p:s8 1 ann@example.org) of pipeline caused error: {}"


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (exceptions.OutOfMemoryError, TransientError, "Redis at here:6379 is full: command not allowed"),
        (exceptions.ReadOnlyError, TransientError, "Redis at here:6379 is a replica: command not allowed"),
        (exceptions.NoPermissionError, UserError, "the Redis user may not do what .*: command not allowed"),
        (exceptions.ResponseError, UserError, "Redis at here:6379 refuses: command not allowed"),
        (exceptions.ConnectionError, TransientError, "Redis at here:6379 is away: command not allowed"),
    ],
)
@pytest.mark.parametrize("text", ["{}", IN_A_PIPELINE])
def test_no_message_shows_a_row(error: type[Exception], kind: type[Exception], message: str, text: str) -> None:
    with pytest.raises(kind, match=f"^{message}$") as caught, redis_errors(StoreAddress(host="here")):
        raise error(text.format("command not allowed"))
    assert "ann@example.org" not in str(caught.value)


def test_a_redis_that_cannot_write_now_is_waited_for_in_a_pipeline_too() -> None:
    with pytest.raises(TransientError, match="cannot write now: MISCONF"), redis_errors(StoreAddress(host="here")):
        raise exceptions.ResponseError(IN_A_PIPELINE.format("MISCONF the disk is full"))
