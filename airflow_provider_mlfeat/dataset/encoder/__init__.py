"""The typed encoder that training, Spark and serving share.

This folder needs numpy, pyarrow and xxhash only, and runs with numpy 1.26 and 2: a model's artefacts may carry a copy.
"""

from airflow_provider_mlfeat.dataset.encoder.encoder import SEED, Encoded, EncodedRow, Encoder
from airflow_provider_mlfeat.dataset.encoder.fields import Field
from airflow_provider_mlfeat.dataset.encoder.storage import ENCODER_FILE
from airflow_provider_mlfeat.dataset.encoder.vocabulary import Vocabulary

__all__ = ["ENCODER_FILE", "SEED", "Encoded", "EncodedRow", "Encoder", "Field", "Vocabulary"]
