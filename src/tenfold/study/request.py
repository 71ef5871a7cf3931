"""What a user asks of a study, resolved to settings and a run folder."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from tenfold.core.errors import RunFolderError, SettingsError
from tenfold.core.progress import Progress, SilentProgress
from tenfold.core.records.choice import ChoiceRecord
from tenfold.core.run_folder import CHOICE, RunFolder
from tenfold.core.settings import parse_assignment, with_values
from tenfold.core.stages import training_stages
from tenfold.core.text import parse_duration
from tenfold.data.corrections import corrections_settings, read_corrections
from tenfold.data.sources.finding import find_source
from tenfold.data.sources.grouping import parse_rule
from tenfold.data.sources.look import look_at
from tenfold.data.sources.source import SOURCES
from tenfold.study.choice import CHOSEN_RECIPES, Asked, choose_recipe, recipe_of_settings
from tenfold.study.recipe import (
    StudySettings,
    recipe_for_model,
    recipe_model,
    resolve_recipe,
)
from tenfold.study.runner import REPEATED_STAGES
from tenfold.study.settings import DataSettings
from tenfold.study.shared_training import MICRO_BATCHES, check_workers

NO_CORRECTIONS = "none"


@dataclass(frozen=True)
class ResolvedRequest:
    """Settings and run folder, and a sentence that says which data were taken and why.

    `corrections` is the content of the file that was given; None if none was. `choice` is which
    recipe was chosen for the data and why, and `choice_seconds` what that took; None where nothing
    was to be chosen.
    """

    settings: StudySettings
    out: Path
    sentence: str
    corrections: bytes | None = None
    choice: ChoiceRecord | None = None
    choice_seconds: float = 0.0


@dataclass(frozen=True)
class StudyRequest:
    """What was asked; None where nothing was said.

    Where the run folder holds a study already, its settings are the ground that the request
    changes, so that a stage can be run with nothing but ``--out``.

    Of data that were named, without a word about recipe or model, the recipe is chosen that suits
    them (`tenfold.study.choice`); what was chosen lies in the run folder and stays.

    A `model` takes the place of the recipe's, with its own defaults; without a recipe, one that is
    made for the model is taken, if there is one.

    A `budget` is the time for what `stages` train: one model, or with ``cross-validate`` all folds.
    A budgeted training is not preceded by a search, and a whole study (no stage named) not followed
    by a cross-validation, which would take as long again for every fold.

    `models` and `trials` are of a search; its `budget` is the time after which no trial begins, and
    without `trials` their number is open then. Who asks for a search by name has what follows
    trained with its winner, even if the recipe does not search.

    `workers` share the training; a study that has no micro-batches for them gets some.

    `columns` says what a table calls its columns: ``{"label": "species"}``. `group_by` and
    `order_by` are rules, see `tenfold.data.sources.grouping`.

    `corrections` are kept by a run folder that was made with them; the path ``none`` takes them
    away.
    """

    data: str | None = None
    recipe: str | None = None
    model: str | None = None
    out: Path | None = None
    seed: int | None = None
    assignments: tuple[str, ...] = ()
    is_strict: bool = False
    is_thorough: bool = False
    budget: str | None = None
    stages: tuple[str, ...] = ()
    runs: int = 1
    corrections: Path | None = None
    models: tuple[str, ...] = ()
    trials: int | None = None
    rebalance: str | None = None
    workers: int | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    group_by: str | None = None
    order_by: str | None = None

    def resolve(
        self, progress: Progress | None = None, *, is_offline: bool = False
    ) -> ResolvedRequest:
        """Find the settings and the run folder; fetch the data if they lie at an address.

        Parameters
        ----------
        progress
            Who is told, where data are fetched or recipes tried; None for nobody.
        is_offline
            Whether fetching is forbidden.

        Raises
        ------
        TenfoldError
            If a recipe, setting, source or path is not valid.
        """
        self._check_runs()
        self._check_workers_asked()
        corrections = self._corrections_content()
        stored = _stored_values(self.out)
        asked = self._asked()
        data, sentence = self._data(stored, progress, is_offline=is_offline)
        options = (
            ({"data.is_strict": True} if self.is_strict else {})
            | ({"evaluate.is_thorough": True} if self.is_thorough else {})
            | self._budget_changes(asked)
            | self._search_changes(is_new=stored is None)
            | self._corrections_changes(corrections)
            | self._rebalance_changes()
            | {f"data.{kind}_column": name for kind, name in self.columns.items()}
            | self._rule_changes()
            | data
        )
        # What is changed later counts, and options are more than settings.
        changes = {name: asked[name] for name in asked if name not in options} | options
        choice, seconds = None, 0.0
        if stored is None and self._leaves_open(asked):
            started = time.monotonic()
            choice = self._choice(changes, progress or SilentProgress(), is_offline=is_offline)
            seconds = time.monotonic() - started
        settings = self._shared(self._settings(stored, changes, choice))
        out = self.out or self._default_out(settings)
        return ResolvedRequest(settings, out, sentence, corrections, choice, seconds)

    def _check_runs(self) -> None:
        if self.runs > 1 and self.stages and not set(self.stages) <= set(REPEATED_STAGES):
            raise SettingsError(
                f"--runs trains and tests several times, so it is for run, train and evaluate, not "
                f"{self.stages[0]}."
            )

    def _check_workers_asked(self) -> None:
        if self.workers is not None and self.stages not in {(), ("train",)}:
            raise SettingsError(
                f"--workers share one training, so it is for run and train, not {self.stages[0]}. "
                "Work that can be divided takes --jobs or --on."
            )

    def _shared(self, settings: StudySettings) -> StudySettings:
        """Give a study that the workers who were asked for can share."""
        if self.workers is None:
            return settings
        if settings.training.micro_batches is None:
            settings = settings.with_changes({"training.micro_batches": MICRO_BATCHES})
        check_workers(settings, self.workers)
        return settings

    def _asked(self) -> dict[str, Any]:
        """Give the settings that were named."""
        changes = dict(parse_assignment(text) for text in self.assignments)
        if self.model is not None and changes.setdefault("model.name", self.model) != self.model:
            raise SettingsError(
                f"--model says {self.model} and --set model.name={changes['model.name']}. "
                "Leave one of them out."
            )
        if self.seed is not None:
            changes["seed"] = self.seed
        return changes

    def _leaves_open(self, asked: dict[str, Any]) -> bool:
        """Say whether the user named data and left open how they are learned from."""
        said = (self.recipe, self.model, asked.get("model.name"), *self.models)
        return self.data is not None and all(word is None for word in said)

    def _choice(
        self, changes: dict[str, Any], progress: Progress, *, is_offline: bool
    ) -> ChoiceRecord | None:
        """Choose the recipe for the data, or give what was chosen before; None for the default."""
        own = frozenset(
            name.removeprefix("model.") for name in changes if name.startswith("model.")
        )
        seconds = None if self.budget is None else parse_duration(self.budget)
        asked = Asked(
            source=changes["data.source"],
            location=changes["data.location"],
            budget_seconds=seconds,
            is_rebalanced=changes.get("training.rebalance", "none") != "none",
            is_shared=self.workers is not None,
            recipe=recipe_of_settings(own),
            seed=changes.get("seed", 0),
        )
        if own and asked.recipe is None:
            return None
        if (made := self._made_choice(asked)) is not None:
            return made
        # Whatever the recipe will be, the data are read by these settings.
        read = {name: changes[name] for name in changes if name.startswith("data.")}
        data = DataSettings.parse(with_values({"data": {}}, read)["data"], where="data")
        location = None if asked.location is None else Path(asked.location)
        options = data.source_options(seed=asked.seed, is_offline=is_offline)
        look = look_at(SOURCES[asked.source], location, options, progress)
        return choose_recipe(look, asked, progress)

    def _made_choice(self, asked: Asked) -> ChoiceRecord | None:
        """Give what was chosen for the same wishes in the folder that this study would go on in."""
        folders = [Path("runs") / f"{recipe}-{asked.source}" for recipe in CHOSEN_RECIPES]
        for folder in folders if self.out is None else [self.out]:
            if (folder / CHOICE).is_file():
                choice = ChoiceRecord.read(folder / CHOICE)
                if asked.are_those_of(choice):
                    return choice
        return None

    def _data(
        self, stored: dict[str, Any] | None, progress: Progress | None, *, is_offline: bool
    ) -> tuple[dict[str, Any], str]:
        """Give the changes that name the data set, and a sentence about it."""
        if stored is not None and self.data is None:
            with _stored_in(self.out):
                data = DataSettings.parse(stored.get("data", {}), where="data")
            place = data.location or data.source
            sentence = f"Data: {place}, as the run folder was made with."
            return {"data.source": data.source, "data.location": data.location}, sentence
        source, path, sentence = find_source(self.data, progress, is_offline=is_offline)
        location = None if path is None else str(path.resolve())
        return {"data.source": source.name, "data.location": location}, sentence

    def _budget_changes(self, asked: dict[str, Any]) -> dict[str, Any]:
        if self.budget is None:
            return {}
        seconds = parse_duration(self.budget)
        training = {"training.budget_seconds": seconds, "tune.is_enabled": False}
        match self.stages:
            case ():
                return {**training, "cross_validate.is_enabled": False}
            case ("train",):
                return training
            case ("cross-validate",):
                return {"cross_validate.budget_seconds": seconds, "tune.is_enabled": False}
            case ("tune",):
                # As many trials as there is time for, unless they were said too.
                trials = asked.get("tune.trials", self.trials)
                return {"tune.budget_seconds": seconds, "tune.trials": trials}
        raise SettingsError(
            f"--budget is for what trains: run, tune, train and cross-validate, not "
            f"{self.stages[0]}."
        )

    def _search_changes(self, *, is_new: bool) -> dict[str, Any]:
        if self.stages != ("tune",):
            return {}
        changes: dict[str, Any] = {}
        if self.models:
            changes["tune.models"] = list(dict.fromkeys(self.models))
        elif self.model is not None:  # alone, whatever was searched before
            changes["tune.models"] = []
        if self.trials is not None:
            changes["tune.trials"] = self.trials
        if changes or is_new or self.budget is not None:
            changes["tune.is_enabled"] = True
        return changes

    def _corrections_content(self) -> bytes | None:
        """Read the corrections file, once: it may be a pipe."""
        if self.corrections is None or str(self.corrections) == NO_CORRECTIONS:
            return None
        return read_corrections(self.corrections)

    def _corrections_changes(self, content: bytes | None) -> dict[str, Any]:
        if self.corrections is None:
            return {}
        if content is None:
            return {"data.corrections": None}
        return {"data.corrections": corrections_settings(self.corrections, content).plain()}

    def _rule_changes(self) -> dict[str, Any]:
        rules: dict[Literal["group_by", "order_by"], str | None]
        rules = {"group_by": self.group_by, "order_by": self.order_by}
        given = {setting: text for setting, text in rules.items() if text is not None}
        for setting, text in given.items():
            parse_rule(text, setting)
        return {f"data.{setting}": text for setting, text in given.items()}

    def _rebalance_changes(self) -> dict[str, Any]:
        if self.rebalance is None:
            return {}
        if self.stages and not set(self.stages) <= set(training_stages()):
            raise SettingsError(
                f"--rebalance is for what trains: run, {', '.join(training_stages())}, not "
                f"{self.stages[0]}."
            )
        return {"training.rebalance": self.rebalance}

    def _settings(
        self,
        stored: dict[str, Any] | None,
        changes: dict[str, Any],
        choice: ChoiceRecord | None = None,
    ) -> StudySettings:
        if choice is not None:
            return resolve_recipe(choice.recipe, changes)
        if stored is None or self.recipe is not None:
            return resolve_recipe(self._recipe_name(), changes)
        try:
            return StudySettings.resolve(stored, changes)
        except SettingsError:
            with _stored_in(self.out):  # What is wrong there already is said first.
                StudySettings.resolve(stored)
            raise

    def _recipe_name(self) -> str:
        return self.recipe or recipe_for_model(self.model)

    def _default_out(self, settings: StudySettings) -> Path:
        """Give runs/RECIPE-SOURCE; where another model than the recipe's was asked for, with it."""
        parts = [settings.recipe.name, settings.data.source]
        if self.model is not None and recipe_model(self._recipe_name()) != self.model:
            parts.insert(1, self.model)
        return Path("runs") / "-".join(parts)


def _stored_values(out: Path | None) -> dict[str, Any] | None:
    """Give the settings of the study in a run folder, as they lie there; None for a new one."""
    return RunFolder(out).settings() if out is not None and out.is_dir() else None


@contextmanager
def _stored_in(out: Path | None) -> Iterator[None]:
    try:
        yield
    except SettingsError as error:
        raise RunFolderError(
            f"The settings in {out} are not those of this version of tenfold: {error}\n"
            "They were changed by hand or written by another version; choose another folder with "
            "--out."
        ) from None
