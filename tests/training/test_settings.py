"""Settings refuse what cannot be meant."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from airflow_provider_mlfeat.training.settings import TrainSettings


def test_the_published_run() -> None:
    settings = TrainSettings.faithful()
    assert settings.hidden_layers == (1000,) * 5
    assert (settings.batch_size, settings.dropout, settings.schedule) == (1000, 0.2, "tenth")
    assert TrainSettings.faithful(epochs=3).epochs == 3


def test_the_json_form_is_the_same_document() -> None:
    settings = TrainSettings.faithful(field_sizes={"C1": 4})
    assert TrainSettings.model_validate_json(settings.model_dump_json()) == settings


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"model": "deepfn"}, "is none of deepfm, wide_deep, lr"),
        ({"hidden_layers": ()}, "at least one layer"),
        ({"hidden_layers": (4, 0)}, "at least 1 wide"),
        ({"field_sizes": {"brand": 17}}, "field_sizes\\['brand'\\] is 17: from 1 to embedding_size"),
        ({"dropout": 1.0}, "less than 1"),
        ({"learning_rates": 1}, "Extra inputs are not permitted"),
    ],
)
def test_refusals(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        TrainSettings.model_validate(wrong)
