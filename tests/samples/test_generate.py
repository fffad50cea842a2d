"""Folders of generated data: found again, never mixed, never half there."""

from __future__ import annotations

from pathlib import Path

import pytest

from airflow_provider_mlfeat.errors import UserError
from airflow_provider_mlfeat.jobs.command import main
from airflow_provider_mlfeat.jobs.progress import Progress
from airflow_provider_mlfeat.jobs.run import parse_spec, run
from airflow_provider_mlfeat.samples.generate import generate


def test_equal_data_is_kept(tmp_path: Path) -> None:
    first = generate("talkingdata", tmp_path / "a", scale=0.01)
    second = generate("talkingdata", tmp_path / "b", scale=0.01)
    again = generate("talkingdata", tmp_path / "a", scale=0.01)
    assert (first.existed, again.existed) == (False, True)
    assert first.rows == again.rows == {"clicks": 2000}
    name = Path("clicks") / "part-00000.csv"
    assert (first.directory / name).read_bytes() == (second.directory / name).read_bytes()


def test_other_data_is_not_replaced(tmp_path: Path) -> None:
    generate("talkingdata", tmp_path / "a", scale=0.01)
    with pytest.raises(UserError, match=r"holds talkingdata data of scale 0.01, seed 0"):
        generate("talkingdata", tmp_path / "a", scale=0.01, seed=1)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("mine")
    with pytest.raises(UserError, match="holds no generated data"):
        generate("jd", tmp_path / "mine")
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize("scale", [0, -1, float("nan"), float("inf")])
def test_scale(tmp_path: Path, scale: float) -> None:
    with pytest.raises(UserError, match="the scale must be a number above 0"):
        generate("jd", tmp_path / "a", scale=scale)


def test_a_failure_leaves_nothing(tmp_path: Path) -> None:
    def stop(rows: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        generate("talkingdata", tmp_path / "a", scale=0.01, progress=stop)
    assert list(tmp_path.iterdir()) == []


def test_own_data_is_checked(tmp_path: Path) -> None:
    (tmp_path / "action").mkdir()
    (tmp_path / "action" / "a.parquet").touch()
    spec = parse_spec({"kind": "sample_data", "dataset": "jd", "data": str(tmp_path)})
    with pytest.raises(UserError, match=r"lacks flattenRequest_clean/\*\.parquet, bo_user/\*\.parquet.*reads action/"):
        run(spec, Progress([]))
    assert run(
        parse_spec({"kind": "sample_data", "dataset": "talkingdata", "data": _clicks(tmp_path)}), Progress([])
    ).data


def _clicks(folder: Path) -> str:
    (folder / "clicks").mkdir()
    (folder / "clicks" / "a.csv").touch()
    return str(folder)


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "talkingdata", str(tmp_path / "a"), "--scale", "0.001"]) == 0
    assert '"clicks": 200' in capsys.readouterr().out
