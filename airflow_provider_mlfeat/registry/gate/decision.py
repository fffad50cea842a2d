"""The decision on a model, with the numbers of every rule."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from airflow_provider_mlfeat import files
from airflow_provider_mlfeat.errors import UserError
from airflow_provider_mlfeat.registry.gate.rules import BLOCKING

ACCEPTED, REJECTED, UNDECIDABLE = "accepted", "rejected", "undecidable"
PASSED, FAILED, SKIPPED = "passed", "failed", "skipped"
VERSION = 1


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one rule.

    :param rule: what it asks, in a few words.
    :param kind: of rule.
    :param severity: ``blocking`` or ``warning``.
    :param state: ``passed``, ``failed``, ``undecidable`` or ``skipped``.
    :param found: what was found.
    :param expected: what was asked for.
    :param value: what was found, as a number where it is one.
    """

    rule: str
    kind: str
    severity: str
    state: str
    found: str
    expected: str
    value: float | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether a model may be used, and why.

    :param decision: ``accepted``, ``rejected`` or ``undecidable``; only the first lets a model through.
    :param reason: one sentence.
    :param model_fingerprint: of the model that it is about.
    :param dataset_fingerprint: of the data that decided.
    :param split: of it.
    :param model_name: under which it is compared; empty without a champion.
    :param champion_version: number of the champion that it was compared with; empty where there was none.
    :param champion_compared: whether a champion was looked for at all.
    :param outcomes: of every rule.
    :param made_at: when.
    :param version: of this document.
    """

    decision: str
    reason: str
    model_fingerprint: str
    dataset_fingerprint: str
    split: str
    model_name: str
    champion_version: str
    champion_compared: bool
    outcomes: tuple[Outcome, ...]
    made_at: str
    version: int = VERSION

    @property
    def accepted(self) -> bool:
        """Whether the model may be used."""
        return self.decision == ACCEPTED

    def to_document(self) -> dict[str, Any]:
        """The JSON form."""
        document: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return document

    def write(self, path: Path) -> None:
        """Write it, in one step."""
        files.write_json(path, self.to_document())

    @classmethod
    def read(cls, path: Path) -> Decision:
        """A decision from its file; raises UserError for what is none."""
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
            if document["version"] != VERSION:
                raise UserError(f"{path} has version {document['version']}, and this release reads {VERSION}")
            outcomes = tuple(Outcome(**one) for one in document.pop("outcomes"))
            return cls(**document, outcomes=outcomes)
        except FileNotFoundError:
            raise UserError(f"there is no decision at {path}: the gate has not decided, or has rejected") from None
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise UserError(f"{path} holds no decision: {error}") from None

    def to_text(self) -> str:
        """A table for logs."""
        head = ("rule", "result", "found", "expected")
        cells = [head, *((one.rule, _state(one), one.found, one.expected) for one in self.outcomes)]
        widths = [max(len(row[place]) for row in cells) for place in range(len(head))]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells
        ]
        lines.insert(1, "  ".join("─" * width for width in widths))
        return "\n".join([*lines, "", f"{self.decision}: {self.reason}"])

    def to_markdown(self) -> str:
        """A table for pages and for people who approve."""
        rows = [
            f"| {_cell(one.rule)} | {_state(one)} | {_cell(one.found)} | {_cell(one.expected)} |"
            for one in self.outcomes
        ]
        table = ["| rule | result | found | expected |", "|---|---|---|---|", *rows]
        return "\n".join([f"**{self.decision}**: {_cell(self.reason)}", "", *table])


def decide(outcomes: Sequence[Outcome]) -> tuple[str, str]:
    """The decision and its reason: one rule that fails rejects; one that cannot be decided lets nothing through."""
    blocking = [one for one in outcomes if one.severity == BLOCKING]
    for state, decision in ((FAILED, REJECTED), (UNDECIDABLE, UNDECIDABLE)):
        wrong = [one for one in blocking if one.state == state]
        if wrong:
            return decision, "; ".join(f"{one.rule}: {one.found}, expected {one.expected}" for one in wrong)
    held = sum(one.state == PASSED for one in blocking)
    return ACCEPTED, f"{held} of {len(blocking)} blocking rules hold, and none fails"


def _state(outcome: Outcome) -> str:
    return f"{outcome.state} (warning)" if outcome.severity != BLOCKING and outcome.state != PASSED else outcome.state


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
