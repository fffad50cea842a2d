"""How a version goes live, and comes back.

The order holds for every change: what is new is loaded beside what serves; it proves itself; the record changes; only
then does anything old go away. Whatever fails before the record changes is undone, and the old version never stopped
answering.

Requests that name no version are answered by the highest version that a server holds ready. So nothing above the live
version stays loaded once a roll-out or a rollback is over: those requests then get the live version too.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from airflow_provider_mlfeat.errors import MlfeatError, TransientError, UserError
from airflow_provider_mlfeat.serving.triton.calls import UNAVAILABLE
from airflow_provider_mlfeat.serving.triton.canary import Outcome, Probation, try_out
from airflow_provider_mlfeat.serving.triton.configuration import Tensor, Tuning, configure, with_versions
from airflow_provider_mlfeat.serving.triton.fleet import Fleet
from airflow_provider_mlfeat.serving.triton.golden import replay
from airflow_provider_mlfeat.serving.triton.live_state import Canary, LiveState
from airflow_provider_mlfeat.serving.triton.model_folder import GoldenRows, ServedModel
from airflow_provider_mlfeat.serving.triton.repository import ModelDirectory

log = logging.getLogger("mlfeat.job")
_HIGHEST_VERSION = 2**31 - 1


class Watcher(Protocol):
    """What a roll-out tells while it goes on."""

    def stage(self, name: str, total: float | None = None, unit: str = "rows") -> None: ...
    def advance(self, amount: float = 1) -> None: ...
    def metric(self, **values: float | int | str) -> None: ...


class Companion(Protocol):
    """Another model that goes live and comes back in step with this one."""

    def deploy(self, model: ServedModel, version: int, tuning: Tuning, **options: Any) -> None: ...
    def roll_back(self, version: int, reason: str) -> None: ...
    def unload(self, version: int | None) -> None: ...
    def settle(self) -> None: ...
    def undo(self) -> None: ...


@dataclass(frozen=True)
class Patience:
    """How long things may take.

    :param load_seconds: one load, warm-up included.
    :param lock_seconds: waiting for another roll-out of the same model.
    :param drain_seconds: between the change of the record and the unloading of what it no longer names, for routers
        that name versions.
    """

    load_seconds: float = 120.0
    lock_seconds: float = 600.0
    drain_seconds: float = 0.0


@dataclass(frozen=True)
class Deployed:
    """What a roll-out did.

    :param state: the state afterwards.
    :param changed: whether anything had to be done.
    :param difference: the largest difference of a golden row.
    :param seconds: from the beginning to the first proven answer of the version.
    :param removed: versions whose files were removed.
    :param trial: what was seen of the versions in the canary's trial.
    """

    state: LiveState
    changed: bool
    difference: float
    seconds: float
    removed: tuple[int, ...] = ()
    trial: dict[int, Outcome] = field(default_factory=dict)


class Rollout:
    """Changes which version of one model is live, on all servers.

    :param directory: the model in the repository.
    :param fleet: the servers.
    :param watcher: told how far it is.
    :param check: raises when the work is to stop.
    :param patience: how long things may take.
    """

    def __init__(
        self,
        directory: ModelDirectory,
        fleet: Fleet,
        watcher: Watcher,
        check: Callable[[], None] = lambda: None,
        patience: Patience | None = None,
    ) -> None:
        self.directory = directory
        self.name = directory.name
        self.fleet = fleet
        self.watcher = watcher
        self.check = check
        self.patience = patience or Patience()
        self.companion: Companion | None = None

    def deploy(
        self,
        model: ServedModel,
        version: int,
        *,
        tuning: Tuning | None = None,
        probation: Probation | None = None,
        keep: int = 1,
        keep_files: int = 5,
        tolerance: float = 1e-5,
        origin: Mapping[str, Any] | None = None,
    ) -> Deployed:
        """Bring a model live as a version; when it is live already, prove that it answers right.

        :param model: the trained model.
        :param version: its number; the registry's.
        :param tuning: how servers run it.
        :param probation: how it is tried before it goes live.
        :param keep: how many earlier versions stay loaded, to go back to at once.
        :param keep_files: how many earlier versions stay in the repository.
        :param tolerance: how far an answer to a golden row may be off.
        :param origin: where the model comes from, for the manifest.
        """
        _require_version(version)
        tuning, probation, golden = tuning or Tuning(), probation or Probation(), model.golden_rows()
        options = {"keep": keep, "keep_files": keep_files, "tolerance": tolerance, "origin": origin}
        with self._locked():
            began = time.monotonic()
            self.watcher.stage("deploy", 5, "steps")
            self.fleet.require_live()
            before = self._restored(self.directory.state())
            self._require_backend(before, tuning.backend)
            written = self.directory.write_version(version, model, tuning.backend, origin or {}, self.check)
            self.watcher.advance()
            kept = _kept(before, version, keep)
            configuration = self._configuration(before, model, version, tuning, (*kept, version))
            if before.live == version and before.canary is None and _same(before.configuration, configuration):
                difference = self._prove(version, golden, tolerance)
                if self.companion is not None:
                    self.companion.deploy(model, version, tuning, **options)
                log.info("'%s' serves version %d already; its golden rows agree", self.name, version)
                return Deployed(before, False, difference, time.monotonic() - began)
            wanted = (*before.loaded, version)
            beside = with_versions(configuration, wanted)
            try:
                self.fleet.load(self.name, beside, self.patience.load_seconds)
                self.fleet.wait_ready(self.name, version, self.patience.load_seconds, self.check)
                self.watcher.advance()
                difference = self._prove(version, golden, tolerance)
                self.watcher.advance()
                seconds = time.monotonic() - began
                log.info("version %d of '%s' answers right after %.2f s", version, self.name, seconds)
                trial = self._try_out(before, version, golden, probation, tolerance, beside)
                self.check()
                if self.companion is not None:
                    self.companion.deploy(model, version, tuning, **options)
                # A server may have restarted meanwhile, without the version.
                self.fleet.wait_ready(self.name, version, 0, self.check)
                after = self.directory.state().changed(
                    "deploy",
                    live=version,
                    previous=next((number for number in reversed(kept) if number != version), None),
                    loaded=tuple(sorted({*kept, version})),
                    canary=None,
                    configuration=configuration,
                )
                self.directory.write_state(after)
            except BaseException as error:
                self._undo(before, version, written, error)
                raise
            self.watcher.advance()
            log.info("version %d of '%s' is live", version, self.name)
            if set(wanted) != set(after.loaded):
                self._shrink(after)
            removed = self._prune(after, keep_files)
            self.watcher.advance()
            return Deployed(after, True, difference, seconds, removed, trial)

    def roll_back(self, version: int | None = None, reason: str = "") -> LiveState:
        """Go back to an earlier version; at once when it is loaded.

        :param version: the version; None is the one before.
        :param reason: why, for the record.
        """
        with self._locked():
            state = self.directory.state()
            if state.live is None:
                raise UserError(f"'{self.name}' was never deployed: there is nothing to go back from")
            target = state.previous if version is None else version
            if target is None:
                raise UserError(f"'{self.name}' has no version before {state.live} to go back to: name one")
            if self.directory.manifest(target) is None:
                known = ", ".join(map(str, self.directory.versions())) or "none"
                raise UserError(f"version {target} of '{self.name}' is not in the repository, which holds {known}")
            lower = [number for number in state.loaded if number < target]
            loaded = tuple(sorted({*lower, target}))
            configuration = with_versions(state.configuration, loaded)
            ready = self.fleet.ready_versions(self.name)
            if target == state.live and all(versions == set(loaded) for versions in ready.values()):
                log.info("'%s' serves version %d already", self.name, target)
                return state
            try:
                if not all(target in versions for versions in ready.values()):
                    beside = with_versions(configuration, {*state.loaded, target})
                    self.fleet.load(self.name, beside, self.patience.load_seconds)
                self.fleet.wait_ready(self.name, target, self.patience.load_seconds, self.check)
                if self.companion is not None:
                    self.companion.roll_back(target, reason)
                after = state.changed(
                    "roll_back",
                    reason,
                    live=target,
                    previous=max(lower, default=None),
                    loaded=loaded,
                    canary=None,
                    configuration=configuration,
                )
                self.directory.write_state(after)
            except BaseException as error:
                self._undo(state, target, False, error)
                raise
            self._shrink(after)
            log.info("'%s' is back at version %d", self.name, target)
            return after

    def unload(self, version: int | None = None) -> LiveState:
        """Stop serving a model, or hold one of its versions no longer ready.

        :param version: a version that is not live; None is the whole model.
        """
        with self._locked():
            state = self.directory.state()
            if version is None:
                if self.companion is not None:
                    self.companion.unload(None)
                after = state.changed("unload", live=None, previous=None, loaded=(), canary=None)
                self.directory.write_state(after)
                self.directory.forget_configuration()
                self.fleet.each(f"Unloading '{self.name}'", lambda client: client.unload(self.name))
                self.wait_gone(frozenset(), self.patience.load_seconds)
                return after
            if version == state.live:
                raise UserError(
                    f"version {version} of '{self.name}' is live: roll back first, or unload the whole model"
                )
            if version not in state.loaded:
                return state
            if self.companion is not None:
                self.companion.unload(version)
            loaded = tuple(number for number in state.loaded if number != version)
            after = state.changed(
                "unload",
                loaded=loaded,
                previous=max((number for number in loaded if number != state.live), default=None),
                configuration=with_versions(state.configuration, loaded),
            )
            self.directory.write_state(after)
            self._shrink(after)
            return after

    def reconcile(self) -> LiveState:
        """Make the servers hold what the record says: after a restart, or after a roll-out that was killed."""
        with self._locked():
            self.fleet.require_live()
            return self._restored(self.directory.state())

    # ── steps ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def _locked(self) -> Any:
        def waiting(holder: str) -> None:
            log.info("waiting for another roll-out of '%s': %s", self.name, holder)

        return self.directory.locked(self.patience.lock_seconds, self.check, waiting)

    def _restored(self, state: LiveState) -> LiveState:
        """Servers that restarted, or that a killed roll-out left behind, hold again what the record says."""
        if state.canary is not None:
            state = state.changed("trial_abandoned", canary=None)
            self.directory.write_state(state)
        if state.live is None:
            return state
        ready = self.fleet.ready_versions(self.name)
        if any(versions != set(state.loaded) for versions in ready.values()):
            log.warning("'%s': the servers do not hold what was live; loading it again", self.name)
            self.fleet.load(self.name, state.configuration, self.patience.load_seconds)
            self.wait_gone(frozenset(state.loaded), self.patience.load_seconds)
        return state

    def _require_backend(self, state: LiveState, backend: str) -> None:
        held = state.configuration.get("backend") if state.live is not None else None
        if held not in (None, backend):
            raise UserError(
                f"'{self.name}' is served by the backend {held}, which all its versions share: unload the model before "
                f"deploying it with {backend}"
            )

    def _configuration(
        self, before: LiveState, model: ServedModel, version: int, tuning: Tuning, versions: tuple[int, ...]
    ) -> dict[str, Any]:
        """One configuration for all loaded versions. Where their shapes differ, it leaves those open: the versions
        themselves refuse rows of the wrong width."""
        others = [manifest for number in before.loaded if number != version if (manifest := self._manifest(number))]
        inputs = list(model.inputs)
        for manifest in others:
            inputs = _joined(inputs, [Tensor(e["name"], e["dtype"], tuple(e["shape"])) for e in manifest["inputs"]])
        return configure(self.name, inputs, model.outputs, versions, tuning)

    def _manifest(self, version: int) -> dict[str, Any] | None:
        return self.directory.manifest(version)

    def _prove(self, version: int, golden: GoldenRows, tolerance: float) -> float:
        differences = self.fleet.each(
            "Replaying golden rows", lambda client: replay(client, self.name, version, golden, tolerance)
        )
        self.watcher.metric(golden_difference=max(differences.values()))
        return max(differences.values())

    def _try_out(
        self,
        before: LiveState,
        version: int,
        golden: GoldenRows,
        probation: Probation,
        tolerance: float,
        configuration: dict[str, Any],
    ) -> dict[int, Outcome]:
        if not probation.share or before.live is None or before.live == version:
            return {}
        trial = before.changed(
            "trial", canary=Canary(version, probation.share), configuration=before.configuration or configuration
        )
        self.directory.write_state(trial)
        self.watcher.stage("canary", probation.seconds * probation.rate, "requests")

        def report(requests: int, metrics: dict[str, float]) -> None:
            self.check()
            self.watcher.metric(**metrics)
            self.watcher.advance(requests)

        seen = try_out(self.fleet, trial, golden, probation, tolerance, report)
        self.watcher.stage("switch", 2, "steps")
        return seen

    def _shrink(self, state: LiveState) -> None:
        """Let go what the record no longer names; the change has happened, so a failure here is only told."""
        if self.patience.drain_seconds:
            time.sleep(self.patience.drain_seconds)
        if self.companion is not None:
            self.companion.settle()
        try:
            self.fleet.load(self.name, state.configuration, self.patience.load_seconds)
        except MlfeatError as error:
            log.warning("version %s of '%s' is live, but older ones stay loaded: %s", state.live, self.name, error)

    def _undo(self, before: LiveState, version: int, written: bool, error: BaseException) -> None:
        """Bring back what was, on every server that can be reached; the error that led here stays the error."""
        log.warning("undoing: %s", str(error) or type(error).__name__)
        if self.companion is not None:
            self.companion.undo()
        if before.live is None:
            undone = self.fleet.try_each(lambda client: client.unload(self.name))
        else:
            undone = self.fleet.try_each(
                lambda client: client.load(self.name, before.configuration, self.patience.load_seconds)
            )
        for failure in undone.values():
            if isinstance(failure, MlfeatError):
                log.warning("not undone there: %s", failure)
        state = self.directory.state()
        if (state.live, state.canary) != (before.live, before.canary):
            restored = replace(before, history=state.history)
            self.directory.write_state(restored.changed("undo", str(error)[:500]))
        if written and version not in before.loaded:
            try:
                self.wait_gone(frozenset(before.loaded), min(10.0, self.patience.load_seconds), reachable=True)
                self.directory.remove_version(version)
            except MlfeatError as failure:
                log.warning("the files of version %d stay in the repository: %s", version, failure)
        if before.live is not None:
            log.info("'%s' goes on with version %d", self.name, before.live)

    def wait_gone(self, wanted: frozenset[int], seconds: float, *, reachable: bool = False) -> None:
        """Wait until servers hold nothing but the wanted versions.

        :param wanted: the versions.
        :param seconds: how long to wait.
        :param reachable: whether servers that are away are left out.
        """
        deadline = time.monotonic() + seconds
        while True:
            answers = self.fleet.try_each(lambda client: _held(client.index(), self.name))
            failures = [answer for answer in answers.values() if isinstance(answer, MlfeatError)]
            if failures and not reachable:
                raise failures[0]
            held = [answer for answer in answers.values() if not isinstance(answer, MlfeatError)]
            if all(versions == wanted for versions in held):
                return
            if time.monotonic() >= deadline:
                raise TransientError(f"the servers hold other versions of '{self.name}' after {seconds:g} s")
            time.sleep(0.02)

    def _prune(self, state: LiveState, keep_files: int) -> tuple[int, ...]:
        """Remove the oldest versions that no server holds and that nobody goes back to."""
        lower = [number for number in self.directory.versions() if number != state.live and number not in state.loaded]
        allowed = max(0, keep_files - (len(state.loaded) - 1))
        removed = []
        for number in lower[: max(0, len(lower) - allowed)]:
            held = self.fleet.try_each(lambda client: _held(client.index(), self.name))
            if any(isinstance(answer, MlfeatError) or number in answer for answer in held.values()):
                continue
            self.directory.remove_version(number)
            removed.append(number)
        if removed:
            log.info("removed old versions of '%s': %s", self.name, ", ".join(map(str, removed)))
        return tuple(removed)


def _held(index: list[Any], model: str) -> frozenset[int]:
    """The versions that a server holds, also those on their way in or out."""
    return frozenset(
        entry.version
        for entry in index
        if entry.model == model and entry.version is not None and entry.state not in (UNAVAILABLE, "")
    )


def _kept(before: LiveState, version: int, keep: int) -> tuple[int, ...]:
    """The loaded versions that stay: below the new one, the newest first to stay, and the live one before all."""
    lower = sorted(number for number in before.loaded if number < version)
    if before.live in lower:
        lower.remove(before.live)
        lower.append(before.live)
    return tuple(lower[max(0, len(lower) - keep) :]) if keep > 0 else ()


def _joined(inputs: list[Tensor], others: list[Tensor]) -> list[Tensor]:
    """Inputs that fit two versions: open where their shapes differ, optional where one lacks them."""
    named = {tensor.name: tensor for tensor in others}
    joined = []
    for tensor in inputs:
        other = named.pop(tensor.name, None)
        if other is None:
            joined.append(Tensor(tensor.name, tensor.kind, tensor.shape, True))
        elif other.kind != tensor.kind:
            raise UserError(f"{tensor.name} is {tensor.kind} in this version and {other.kind} in one that is loaded")
        else:
            shape = tuple(a if a == b else -1 for a, b in zip(tensor.shape, other.shape, strict=True))
            joined.append(Tensor(tensor.name, tensor.kind, shape, tensor.optional))
    return joined + [Tensor(tensor.name, tensor.kind, tensor.shape, True) for tensor in named.values()]


def _same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two configurations agree apart from which versions they hold."""
    return with_versions(one, ()) == with_versions(other, ())


def _require_version(version: int) -> None:
    if not 0 < version <= _HIGHEST_VERSION:
        raise UserError(f"a version is a whole number from 1 on, not {version}")
