"""A Feast repository whose online store (SQLite) holds the latest row of each user; `feast serve` answers from it.

`python feast_users.py FOLDER USERS.parquet` makes it.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, ValueType
from feast.types import String

FEATURES = ("age", "sex", "user_lv_cd")


def main() -> None:
    """Declare the view, and write the users into the online store."""
    folder, users = Path(sys.argv[1]), sys.argv[2]
    (folder / "feature_store.yaml").write_text(
        "project: users\nprovider: local\nregistry: registry.db\nonline_store:\n  type: sqlite\n  path: online.db\n"
        "offline_store:\n  type: file\nentity_key_serialization_version: 3\n"
    )
    rows = pd.read_parquet(users, columns=["ingestionTime", "user_id", *FEATURES])
    rows["ingestionTime"] = pd.to_datetime(rows["ingestionTime"], utc=True)
    source = FileSource(path=users, timestamp_field="ingestionTime")
    user = Entity(name="user", join_keys=["user_id"], value_type=ValueType.STRING)
    schema = [Field(name=name, dtype=String) for name in FEATURES]
    view = FeatureView(name="users", entities=[user], ttl=timedelta(days=0), schema=schema, source=source, online=True)
    store = FeatureStore(repo_path=str(folder))
    store.apply([user, view])
    rows["created"] = datetime.now(UTC)
    store.write_to_online_store("users", rows[["user_id", "ingestionTime", *FEATURES]])


if __name__ == "__main__":
    main()
