"""How a model is trained: every number that decides the result, in one frozen document without heavy imports."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

BUILT_IN = ("deepfm", "wide_deep", "lr", "fm", "dnn")
MODULE_PREFIX = "module:"


class TrainSettings(BaseModel):
    """The model, its training and where it runs; the defaults suit a table of millions of rows.

    :param model: ``deepfm``, ``wide_deep``, ``lr``, the parts ``fm`` and ``dnn`` alone, or
        ``module:package.name:Class``.
    :param embedding_size: numbers per id in the second-order part.
    :param field_sizes: smaller sizes of single fields, by name; such a field uses the first numbers of its vectors.
    :param hidden_layers: widths of the MLP's layers.
    :param dropout: share of a hidden layer's outputs that a training step leaves out.
    :param embedding_deviation: of the normal distribution that embeddings start from.
    :param optimiser: of the embedding table; the MLP always has Adam.
    :param learning_rate: of the MLP, and of the table when it has none of its own.
    :param embedding_learning_rate: of the table.
    :param schedule: ``constant``; ``tenth``: a tenth after each of the first three epochs; ``cosine``: down to zero;
        ``last_tenth``: a tenth in the last quarter of all steps.
    :param warmup_steps: steps over which learning rates rise from zero.
    :param clip_norm: the longest gradient, over all parameters together; none is longer.
    :param weight_decay: of the MLP's weights, apart from the gradient (AdamW).
    :param embedding_l2: pull of the rows of a batch towards zero.
    :param batch_size: rows of a step.
    :param epochs: passes over the rows, at most.
    :param max_steps: steps, at most.
    :param patience: epochs without a better AUC − logloss on the validation rows before training stops; 0 never stops.
    :param min_delta: by how much an epoch has to be better.
    :param seed: of weights, order of rows and dropout.
    :param device: ``auto`` is a GPU where there is one.
    :param precision: of the MLP; ``auto`` is bf16 on a GPU and fp32 elsewhere.
    :param capture: record the step once and replay it, on a GPU; ``auto`` does where the step can be recorded.
    :param compile: compile the model's head, worth the minute it takes on long runs.
    :param threads: CPU threads; 0 leaves PyTorch's choice.
    :param processes: that train together on this machine, one per GPU; they share each batch.
    :param table: ``copy`` keeps the whole table on every process of a group, ``rows`` a share of its rows.
    :param resident: keep the rows on the device: ``auto`` does where they fit.
    :param checkpoint_steps: steps between two checkpoints; 0 counts none.
    :param checkpoint_minutes: minutes between two checkpoints; 0 counts none.
    :param parameters: keyword arguments of a ``module:`` model.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    model: str = "deepfm"
    embedding_size: int = Field(default=16, ge=1, le=1024)
    field_sizes: dict[str, int] = Field(default_factory=dict)
    hidden_layers: tuple[int, ...] = (400, 400, 400)
    dropout: float = Field(default=0.0, ge=0, lt=1)
    embedding_deviation: float = Field(default=0.01, gt=0)
    optimiser: Literal["lazy_adam", "rowwise_adagrad"] = "lazy_adam"
    learning_rate: float = Field(default=1e-3, gt=0)
    embedding_learning_rate: float | None = Field(default=None, gt=0)
    schedule: Literal["constant", "tenth", "cosine", "last_tenth"] = "constant"
    warmup_steps: int = Field(default=0, ge=0)
    clip_norm: float | None = Field(default=None, gt=0)
    weight_decay: float = Field(default=0.0, ge=0)
    embedding_l2: float = Field(default=0.0, ge=0)
    batch_size: int = Field(default=4096, ge=1)
    epochs: int = Field(default=10, ge=1)
    max_steps: int | None = Field(default=None, ge=1)
    patience: int = Field(default=2, ge=0)
    min_delta: float = Field(default=1e-6, ge=0)
    seed: int = Field(default=1, ge=0)
    device: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    capture: Literal["auto", "never"] = "auto"
    compile: bool = False
    threads: int = Field(default=0, ge=0)
    processes: int = Field(default=1, ge=1, le=64)
    table: Literal["copy", "rows"] = "copy"
    resident: Literal["auto", "never"] = "auto"
    checkpoint_steps: int = Field(default=0, ge=0)
    checkpoint_minutes: float = Field(default=10.0, ge=0)
    parameters: dict[str, Any] = Field(default_factory=dict)

    @field_validator("model")
    @classmethod
    def _known_model(cls, value: str) -> str:
        if value not in BUILT_IN and not value.startswith(MODULE_PREFIX):
            raise ValueError(f"is none of {', '.join(BUILT_IN)} and does not start with '{MODULE_PREFIX}'")
        return value

    @field_validator("hidden_layers")
    @classmethod
    def _real_layers(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if not value or min(value) < 1:
            raise ValueError("names at least one layer, and each is at least 1 wide")
        return value

    @model_validator(mode="after")
    def _sizes_fit(self) -> Self:
        for name, size in self.field_sizes.items():
            if not 1 <= size <= self.embedding_size:
                raise ValueError(f"field_sizes['{name}'] is {size}: from 1 to embedding_size ({self.embedding_size})")
        return self

    @classmethod
    def faithful(cls, **changes: Any) -> TrainSettings:
        """The hyper-parameters of the published JD DeepFM run."""
        published: dict[str, Any] = {
            "hidden_layers": (1000,) * 5,
            "dropout": 0.2,
            "embedding_deviation": 1e-4,
            "learning_rate": 1e-3,
            "schedule": "tenth",
            "batch_size": 1000,
            "epochs": 100,
            "max_steps": 75_000,
            "patience": 2,
            "min_delta": 1e-6,
        }
        return cls(**{**published, **changes})

    @property
    def table_learning_rate(self) -> float:
        """The learning rate of the embedding table."""
        return self.embedding_learning_rate or self.learning_rate
