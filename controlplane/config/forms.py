"""The shape of job files: strict pydantic models, a description on every key."""

from __future__ import annotations

from dataclasses import fields
from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from controlplane.config.lines import Wrong
from controlplane.config.values import Cron, Duration, Every, Memory, Moment, Name, Span, Url, spell
from controlplane.domain.monitor import (
    Budget,
    CheckSpec,
    Fleet,
    Guards,
    LateLabels,
    Monitor,
    OnFailure,
    Reaction,
    RiskTier,
    Schedule,
    Serving,
    Tolerance,
)

Text = Annotated[str, Field(min_length=1)]
Count = Annotated[int, Field(ge=1)]
NoneOrMore = Annotated[int, Field(ge=0)]
Number = Annotated[float, Field(allow_inf_nan=False)]


def _default(of: type, name: str) -> Any:
    return next(item.default for item in fields(of) if item.name == name)


class Form(BaseModel):
    """A part of a file: unknown keys are mistakes, and no value is quietly turned into another type."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class ModelForm(Form):
    """The watched model in the registry."""

    name: Text = Field(description="the registered model's name")
    alias: Text = Field(description="the alias that production follows")


class SourceForm(Form):
    """Rows: a kind of source and that kind's own options beside it."""

    model_config = ConfigDict(extra="allow")

    kind: Text = Field(description="which source reads the rows")


class ColumnsForm(Form):
    """Which column of the rows plays which part."""

    event_time: Text = Field(description="when the row happened; windows are cut by it")
    row_id: Text | None = Field(
        default=None, description="what identifies a row; mandatory with a separate labels source"
    )
    model_version: Text | None = Field(
        default=None, description="which version answered; else the alias history says so"
    )
    prediction: Text | None = Field(default=None, description="the model's answer")
    probability: Text | None = Field(
        default=None, description="the model's probability of its answer or positive class"
    )
    label: Text | None = Field(default=None, description="the truth, where it is known")
    features: list[Text] = Field(default=[], description="the inputs; every column without another part if left out")
    status: Text | None = Field(
        default=None, description="the HTTP status of the request; rows from 400 on are seen by 'serving' alone"
    )
    latency: Text | None = Field(default=None, description="how long the request took, in milliseconds")
    request: Text | None = Field(default=None, description="what the rows of one request share; else each row is one")
    ignored: list[Text] = Field(default=[], description="columns that are no inputs")


class ScheduleForm(Form):
    """When windows end, how long they are, and from when on: `cron` and `window`, or `every`."""

    cron: Cron | None = Field(default=None, description="when a window ends: five fields, in UTC")
    window: Span | None = Field(default=None, description="how long the window before each slot is")
    every: Every | None = Field(
        default=None, description="shorthand: windows of this length, end to end, on the clock in UTC"
    )
    delay: Duration = Field(default=_default(Schedule, "delay"), description="how long late rows are waited for")
    late_rows: Duration = Field(
        default=_default(Schedule, "late_rows"),
        description="how long after its end a window is looked at for more rows, and measured again where some came",
    )
    starts: Moment | None = Field(default=None, description="where the first slot is looked for")
    catch_up: Count = Field(default=_default(Schedule, "catch_up"), description="how many missed slots are still run")

    @model_validator(mode="after")
    def _one_way(self) -> ScheduleForm:
        if self.every is not None and (self.cron is not None or self.window is not None):
            raise Wrong("'every' stands beside 'cron' or 'window'", "give 'every' alone, or both others")
        if self.every is None and (self.cron is None or self.window is None):
            raise Wrong("neither 'every' nor both 'cron' and 'window' are given", "such as every: 1h")
        if self.late_rows and self.late_rows <= self.delay:
            given = f"late_rows {spell(self.late_rows)} is over by the first look, which waits {spell(self.delay)}"
            raise Wrong(given, "give more than 'delay', or leave it out")
        return self


class LimitForm(Form):
    """Where a measure fails: above `max` or below `min`; `warn` comes earlier, on the healthy side."""

    max: Number | None = Field(default=None, description="fails above this")
    min: Number | None = Field(default=None, description="fails below this")
    warn: Number | None = Field(default=None, description="warns from here on: below max, or above min")

    @model_validator(mode="after")
    def _one_side(self) -> LimitForm:
        if (self.max is None) == (self.min is None):
            given = "neither 'max' nor 'min' is given" if self.max is None else "both 'max' and 'min' are given"
            raise Wrong(given, "give exactly one of them")
        if self.warn is not None and self.max is not None and self.warn >= self.max:
            raise Wrong(f"warn {self.warn:g} is not below max {self.max:g}", "it must come before the limit")
        if self.warn is not None and self.min is not None and self.warn <= self.min:
            raise Wrong(f"warn {self.warn:g} is not above min {self.min:g}", "it must come before the limit")
        return self


class CheckForm(Form):
    """One check: which, with which parameters, and where its measures fail."""

    check: Text = Field(description="which check")
    name: Name | None = Field(default=None, description="its name in this monitor; the check's own if left out")
    params: dict[str, Any] = Field(default={}, description="the check's own parameters")
    limits: dict[str, LimitForm] = Field(
        default={}, min_length=1, description="limits by measure; else the check's defaults"
    )
    min_rows: Count = Field(default=_default(CheckSpec, "min_rows"), description="below so many rows nothing is judged")
    timeout: Span = Field(
        default=timedelta(seconds=_default(CheckSpec, "timeout")), description="after this long the check is stopped"
    )
    memory: Memory = Field(default=_default(CheckSpec, "memory"), description="how much memory the check may take")
    dry_run: bool = Field(default=_default(CheckSpec, "dry_run"), description="stored and shown, but never judged")


class ToleranceForm(Form):
    """How many windows in a row it takes to open an incident, and to close it."""

    fails: Count = Field(default=_default(Tolerance, "fails"), description="failing windows that open an incident")
    blind: Count = Field(
        default=_default(Tolerance, "blind"), description="windows that could not be seen that open one"
    )
    recover: Count = Field(default=_default(Tolerance, "recover"), description="good windows that close it again")


class BudgetForm(Form):
    """What false pages may cost, over all checks of the monitor; takes the place of their default limits."""

    false_pages: Annotated[Number, Field(gt=0)] = Field(description="so many on average")
    per: Span = Field(description="in this time, such as 90d")
    min_effect: Annotated[Number, Field(ge=0, le=1)] = Field(
        default=_default(Budget, "min_effect"), description="shifts below so many standard deviations do not matter"
    )


class LateLabelsForm(Form):
    """How long labels are waited for; until then those that came are shown, and nothing is judged by them."""

    wait: Span = Field(description="after this long a window is judged by the labels it has")
    coverage: Annotated[Number, Field(gt=0, le=1)] = Field(
        default=_default(LateLabels, "coverage"), description="or before, once this share of its rows is labelled"
    )
    known_at: Text | None = Field(default=None, description="the column of the labels that says when each became known")


class FreezeWindowForm(Form):
    """A stretch of time that comes again, in which nothing is moved."""

    cron: Cron = Field(description="when it begins: five fields, in UTC")
    for_: Span = Field(alias="for", description="how long it lasts, such as 60h")
    why: Text = Field(description="why nothing is moved then; a refused move says it")


class GuardsForm(Form):
    """What holds an automatic move back."""

    cooldown: Duration = Field(default=_default(Guards, "cooldown"), description="time between two moves of the alias")
    approval_expires: Span = Field(
        default=_default(Guards, "approval_expires"), description="how long an approval may wait"
    )
    most_moves: Count = Field(
        default=_default(Guards, "most_moves"), description="so many moves of the alias are made without a person"
    )
    most_moves_per: Span = Field(default=_default(Guards, "most_moves_per"), description="in this time")
    on_failure: OnFailure = Field(
        default=_default(Guards, "on_failure"), description="what is done where the target fails too"
    )
    freeze_windows: list[FreezeWindowForm] = Field(default=[], description="when this alias is not moved")


class ServingForm(Form):
    """What serves the model, asked for its version after a move."""

    url: Url = Field(description="where it answers with its version")
    within: Span = Field(default=_default(Serving, "within"), description="how soon it must answer with the new one")
    reload: Url | None = Field(
        default=None, description="where it takes a POST, signed with CONTROLPLANE_SERVING_SECRET, after a move"
    )


class JobForm(Form):
    """One watched model."""

    schema_: Literal[1] = Field(alias="schema", description="the version of this format; write schema: 1")
    name: Name | None = Field(default=None, description="the monitor's name; the file's name if left out")
    model: ModelForm = Field(description="the watched model")
    owner: str = Field(default="", description="who answers for the model")
    risk_tier: RiskTier = Field(default=_default(Monitor, "risk_tier"), description="how much harm the model could do")
    runbook: str = Field(default="", description="where it says what to do when this monitor fails")
    source: SourceForm = Field(description="where the rows to watch come from")
    columns: ColumnsForm = Field(description="which column plays which part; those of a log are known")
    labels: SourceForm | None = Field(
        default=None, description="labels that come apart from the rows, joined by row_id"
    )
    late_labels: LateLabelsForm | None = Field(default=None, description="how long labels are waited for")
    reference: SourceForm | None = Field(default=None, description="the rows the model's world is compared with")
    schedule: ScheduleForm = Field(description="when what is measured")
    sample_rows: Count = Field(
        default=_default(Monitor, "sample_rows"), description="how many rows of a window checks see"
    )
    budget: BudgetForm | None = Field(default=None, description="what false pages may cost")
    checks: list[CheckForm] = Field(min_length=1, description="what is measured and judged")
    tolerance: ToleranceForm = Field(default=ToleranceForm(), description="how many windows open and close an incident")
    reaction: Reaction = Field(
        default=_default(Monitor, "reaction"), description="what is done about a failing version"
    )
    rollback_targets: list[Text] = Field(
        default=[], description="versions to go back to, best first, before alias history"
    )
    guards: GuardsForm = Field(default=GuardsForm(), description="what holds an automatic move back")
    serving: ServingForm | None = Field(default=None, description="what serves the model, asked after a move")
    receivers: list[Text] | None = Field(
        default=None, description="who is told, by the names in system.yaml; 'log' exists"
    )


class ReceiverForm(Form):
    """A way to tell people: a kind of notifier and that kind's own options beside it."""

    model_config = ConfigDict(extra="allow")

    kind: Text = Field(description="which notifier sends")


class DefaultsForm(Form):
    """What a job that does not say so itself gets."""

    owner: str = Field(default="", description="who answers for a model")
    receivers: list[Text] = Field(default=["log"], description="who is told")


class BlastRadiusForm(Form):
    """How many aliases of each risk tier may be moved and not yet verified at a time; 0: none without a person."""

    low: NoneOrMore = Field(default=Fleet().blast_radius[RiskTier.LOW], description="of models that can do little harm")
    medium: NoneOrMore = Field(default=Fleet().blast_radius[RiskTier.MEDIUM], description="of those in between")
    high: NoneOrMore = Field(default=Fleet().blast_radius[RiskTier.HIGH], description="of those that can do much")


class RollbackForm(Form):
    """What holds automatic moves of all aliases back."""

    most_per_hour: NoneOrMore = Field(
        default=_default(Fleet, "most_per_hour"),
        description="so many moves are made in an hour; 0: none without a person",
    )
    blast_radius: BlastRadiusForm = Field(
        default=BlastRadiusForm(), description="so many aliases may be moved and not yet verified, by risk tier"
    )
    freeze_windows: list[FreezeWindowForm] = Field(default=[], description="when nothing is moved")


class SystemForm(Form):
    """What all jobs of a folder share: `system.yaml`."""

    schema_: Literal[1] = Field(alias="schema", description="the version of this format; write schema: 1")
    organization: str = Field(default="", description="whose report it is")
    receivers: dict[Name, ReceiverForm] = Field(default={}, description="ways to tell people, by name")
    defaults: DefaultsForm = Field(default=DefaultsForm(), description="for jobs that do not say so themselves")
    rollback: RollbackForm = Field(default=RollbackForm(), description="what holds automatic moves of all aliases back")
