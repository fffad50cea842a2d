"""The encoder's code as a package of its own, for models that run where this one is not installed.

The package's name holds a digest of its sources: models of several releases, each with its own encoder, load into one
process and do not meet.
"""

from __future__ import annotations

from pathlib import Path

import airflow_provider_mlfeat
from airflow_provider_mlfeat import files

_PACKAGE = Path(airflow_provider_mlfeat.__file__).parent
_NAME = _PACKAGE.name


_DOCUMENTED = '"""Part of a registered model: the encoder that it was trained with."""\n'


def _sources() -> dict[Path, str]:
    """What the encoder is made of, by path inside the package."""
    paths = [_PACKAGE / "errors.py", _PACKAGE / "files.py", *(_PACKAGE / "dataset" / "encoder").rglob("*.py")]
    texts = {path.relative_to(_PACKAGE): path.read_text(encoding="utf-8") for path in sorted(paths)}
    return {**texts, Path("__init__.py"): _DOCUMENTED, Path("dataset/__init__.py"): _DOCUMENTED}


def encoder_package(parent: Path) -> Path:
    """Write the package below `parent`; its folder's name is the package's."""
    texts = _sources()
    digest = files.digest_text("\n".join(f"{path} {files.digest_text(text)}" for path, text in texts.items()))
    name = f"mlfeat_encoder_{digest[:12]}"
    for path, text in texts.items():
        target = parent / name / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text.replace(_NAME, name), encoding="utf-8")
    return parent / name
