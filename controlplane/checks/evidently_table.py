"""What each of Evidently's metrics takes and gives. A table, because importing Evidently costs seconds: `validate` and
`schema` read it instead, and a test holds it to the installed Evidently."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from controlplane.ports import MeasureSpec, suggest

CLASSES, PROBABILITIES, NUMBERS = "classes", "class probabilities", "numbers"


@dataclass(frozen=True, slots=True)
class Form:
    """One metric or preset: the measures it `gives` (a preset: the one that speaks for it where it cannot run), its
    options, what of the labels and answers it reads (`task`, empty: the columns), and the options that stand in
    `Measure.segment` because they tell two measures of one column `apart`. `wide`: it reads every column."""

    gives: Mapping[str, MeasureSpec]
    needs: tuple[str, ...] = ()
    takes: tuple[str, ...] = ()
    task: str = ""
    apart: tuple[str, ...] = ()
    wide: bool = False
    by: bool = False

    @property
    def options(self) -> tuple[str, ...]:
        """Every option of a metric in a job file."""
        return (*self.needs, *self.takes, *(("by",) if self.by else ()))


P_VALUES = {
    "anderson": "Anderson-Darling",
    "chisquare": "chi-square p_value",
    "cramer_von_mises": "Cramer-von Mises",
    "empirical_mmd": "empirical_mmd",
    "es": "Epps-Singleton",
    "fisher_exact": "Fisher's Exact test",
    "g_test": "g_test",
    "ks": "K-S p_value",
    "mannw": "Mann-Whitney U-rank test",
    "t_test": "t_test",
    "TVD": "Total-Variation-Distance",
    "z": "Z-test p_value",
}
"""The methods of drift whose score is a p-value (small means drift), as Evidently names them in options and results."""
DISTANCES = {
    "ed": "Energy-distance",
    "hellinger": "Hellinger distance",
    "jensenshannon": "Jensen-Shannon distance",
    "kl_div": "Kullback-Leibler divergence",
    "psi": "PSI",
    "wasserstein": "Wasserstein distance (normed)",
}
"""The methods of drift whose score is a distance (large means drift)."""
METHODS = sorted({*P_VALUES, *DISTANCES})
CORRELATIONS = ("auto", "pearson", "spearman", "kendall", "cramer_v")
CHOICES = {
    "kind": CORRELATIONS,
    "column_type": ("num", "cat", "text", "datetime"),
    "zero_handling": ("none", "drop", "replace"),
}

_DRIFT_OPTIONS = (
    *("columns", "drift_share", "method", "cat_method", "num_method", "per_column_method"),
    *("threshold", "cat_threshold", "num_threshold", "per_column_threshold"),
)
_CUT = ("probas_threshold", "k")


def _one(name: str, unit: str, worse: bool, meaning: str) -> dict[str, MeasureSpec]:
    return {name: MeasureSpec(unit, worse, meaning)}


def _counted(name: str, of: str, meaning: str) -> dict[str, MeasureSpec]:
    return {
        f"{name}.count": MeasureSpec(of, True, f"how many {meaning}"),
        f"{name}.share": MeasureSpec(f"share of {of}", True, f"the share of {meaning}"),
    }


def _spread(name: str, unit: str, meaning: str, spread: str = "") -> dict[str, MeasureSpec]:
    return {
        f"{name}.mean": MeasureSpec(unit, True, f"the mean of {meaning}"),
        f"{name}.std": MeasureSpec(spread or unit, True, f"the standard deviation of {meaning}"),
    }


def _kinds(name: str) -> dict[str, MeasureSpec]:
    said = "the correlation of two columns"
    return {f"{name}.{kind}": MeasureSpec("correlation", True, f"{said}, {kind}") for kind in CORRELATIONS}


def _columns() -> dict[str, Form]:
    forms = {}
    drift = _one("ValueDrift", "distance", True, "how far a column moved, by a method that gives a distance")
    drift |= _one("ValueDrift.p_value", "p-value", False, "whether a column moved, by a method that gives a p-value")
    forms["ValueDrift"] = Form(drift, ("column",), ("method", "threshold"), by=True)
    for name, said in {
        "MinValue": "smallest value",
        "MaxValue": "largest value",
        "MeanValue": "mean",
        "MedianValue": "median",
        "StdValue": "standard deviation",
        "SumValue": "sum",
    }.items():
        forms[name] = Form(_one(name, "unit of the column", True, f"the {said} of a column"), ("column",), by=True)
    quantile = _one("QuantileValue", "unit of the column", True, "a quantile of a column")
    forms["QuantileValue"] = Form(quantile, ("column",), ("quantile",), apart=("quantile",), by=True)
    missing = _counted("MissingValueCount", "rows", "rows without a value")
    forms["MissingValueCount"] = Form(missing, ("column",), by=True)
    for name, said in {"InRangeValueCount": "inside", "OutRangeValueCount": "outside"}.items():
        gives = _counted(name, "values", f"values {said} a range")
        forms[name] = Form(gives, ("column", "left", "right"), apart=("left", "right"), by=True)
    for name, said in {"InListValueCount": "on", "OutListValueCount": "not on"}.items():
        gives = _counted(name, "values", f"values {said} a list")
        forms[name] = Form(gives, ("column", "values"), apart=("values",), by=True)
    category = _counted("CategoryCount", "values", "values in one category, or in any of some")
    apart = ("category", "categories")
    forms["CategoryCount"] = Form(category, ("column",), apart, apart=apart, by=True)
    unique = _counted("UniqueValueCount", "rows", "rows that hold each of the column's values")
    forms["UniqueValueCount"] = Form(unique, ("column",), ("replace_nan",))
    count = _counted("DriftedColumnsCount", "columns", "columns that Evidently calls drifted")
    forms["DriftedColumnsCount"] = Form(count, (), _DRIFT_OPTIONS, wide=True)
    return forms


def _table() -> dict[str, Form]:
    forms = {"RowCount": Form(_one("RowCount", "rows", False, "how many rows"), by=True)}
    columns = _one("ColumnCount", "columns", False, "how many columns, in all or of one type")
    forms["ColumnCount"] = Form(columns, (), ("column_type",), apart=("column_type",), wide=True)
    for name, said in {
        "DuplicatedRowCount": "rows that repeat another",
        "EmptyRowsCount": "rows without any value",
        "DuplicatedColumnsCount": "columns that repeat another",
        "AlmostDuplicatedColumnsCount": "columns that nearly repeat another",
        "ConstantColumnsCount": "columns of one value",
        "AlmostConstantColumnsCount": "columns of nearly one value",
        "EmptyColumnsCount": "columns without any value",
    }.items():
        unit = "rows" if "Row" in name else "columns"
        forms[name] = Form(_one(name, unit, True, f"how many {said}"), wide=True)
    missing = {
        "DatasetMissingValueCount.count": MeasureSpec("values", True, "how many values are missing in all columns"),
        "DatasetMissingValueCount.share": MeasureSpec("values a row", True, "missing values in all columns, a row"),
    }
    forms["DatasetMissingValueCount"] = Form(missing, wide=True)
    forms["ColumnCorrelationMatrix"] = Form(_kinds("ColumnCorrelationMatrix"), ("column_name",), ("kind",), wide=True)
    forms["CorrelationMatrix"] = Form(_kinds("CorrelationMatrix"), (), ("kind",), wide=True)
    return forms


def _answers() -> dict[str, Form]:
    forms = {}
    rates = {
        "Accuracy": ("rows answered with their label", False),
        "Precision": ("rows answered positive that are", False),
        "Recall": ("positive rows that were answered so", False),
        "F1Score": ("the harmonic mean of precision and recall", False),
        "TPR": ("positive rows answered positive", False),
        "TNR": ("negative rows answered negative", False),
        "FPR": ("negative rows answered positive", True),
        "FNR": ("positive rows answered negative", True),
    }
    for name, (said, worse) in rates.items():
        forms[name] = Form(_one(name, "share", worse, said), (), _CUT, CLASSES)
        dummy = f"{name} of answers drawn as often as each label occurs"
        forms[f"Dummy{name}"] = Form(_one(f"Dummy{name}", "share", worse, dummy), (), _CUT, CLASSES)
    for name in ("F1", "Precision", "Recall"):
        gives = _one(f"{name}ByLabel", "share", False, f"{name} of each label")
        forms[f"{name}ByLabel"] = Form(gives, (), _CUT, CLASSES)
    for name, unit, worse, said in (
        ("LogLoss", "nats", True, "the mean negative log probability given to the label"),
        ("RocAuc", "area", False, "the area under the ROC curve"),
        ("RocAucByLabel", "area", False, "the area under the ROC curve of each label"),
        ("DummyLogLoss", "nats", True, "LogLoss of equal probabilities"),
        ("DummyRocAuc", "area", False, "RocAuc of equal probabilities"),
    ):
        forms[name] = Form(_one(name, unit, worse, said), (), _CUT, PROBABILITIES)
    forms["MeanError"] = Form(_spread("MeanError", "unit of the label", "prediction minus label"), task=NUMBERS)
    forms["MAE"] = Form(_spread("MAE", "unit of the label", "the absolute error"), task=NUMBERS)
    mape = _spread("MAPE", "percent", "the absolute error in percent of the label", "share of the label")
    forms["MAPE"] = Form(mape, (), ("zero_handling", "replace_value", "epsilon"), NUMBERS)
    for name, unit, worse, said in (
        ("RMSE", "unit of the label", True, "the root of the mean squared error"),
        ("AbsMaxError", "unit of the label", True, "the largest absolute error"),
        ("R2Score", "share", False, "the share of the labels' variance that is answered"),
    ):
        forms[name] = Form(_one(name, unit, worse, said), task=NUMBERS)
    return forms


METRICS = _columns() | _table() | _answers()


def _preset(speaks: str, *takes: str, needs: tuple[str, ...] = (), task: str = "", wide: bool = False) -> Form:
    metric = METRICS[speaks.partition(".")[0]]
    return Form({speaks: metric.gives[speaks]}, needs, takes, task, wide=wide)


METRICS |= {
    "DataDriftPreset": _preset("DriftedColumnsCount.share", *_DRIFT_OPTIONS, wide=True),
    "DataSummaryPreset": _preset("DatasetMissingValueCount.share", "columns", wide=True),
    "DatasetStats": _preset("DatasetMissingValueCount.share", wide=True),
    "ValueStats": _preset("MissingValueCount.share", "replace_nan", needs=("column",)),
    "TextEvals": _preset("RowCount", needs=("columns",)),
    "RowTestSummary": _preset("RowCount", "min_success_rate", needs=("columns",)),
    "ColumnCorrelations": _preset("ColumnCorrelationMatrix.pearson", needs=("column_name",), wide=True),
    "DatasetCorrelations": _preset("CorrelationMatrix.pearson", wide=True),
    "ClassificationPreset": _preset("Accuracy", "probas_threshold", task=CLASSES),
    "ClassificationQuality": _preset("Accuracy", "probas_threshold", task=CLASSES),
    "ClassificationQualityByLabel": _preset("F1ByLabel", *_CUT, task=CLASSES),
    "ClassificationDummyQuality": _preset("DummyPrecision", *_CUT, task=CLASSES),
    "RegressionPreset": _preset("MAE.mean", task=NUMBERS),
    "RegressionQuality": _preset("MAE.mean", task=NUMBERS),
}

_RECSYS = "it ranks items for users, and a job names neither"
_OWN_ERROR = "Evidently 0.7 gives the model's own error under this name, not a dummy's"
REFUSED = {
    "EmbeddingsDrift": "it draws a t-SNE map of every window, which takes minutes; the check 'drift' compares vectors",
    "GroupBy": "write 'by: COLUMN' beside the metric that is to be taken in each group",
    **dict.fromkeys(("DummyMAE", "DummyMAPE", "DummyRMSE", "RegressionDummyQuality"), _OWN_ERROR),
    **dict.fromkeys(("Diversity", "FBetaTopK", "HitRate", "ItemBias", "MAP", "MRR", "NDCG", "Novelty"), _RECSYS),
    **dict.fromkeys(("Personalization", "PopularityBiasMetric", "PrecisionTopK", "RecallTopK"), _RECSYS),
    **dict.fromkeys(("RecCasesTable", "RecsysPreset", "ScoreDistribution", "Serendipity", "UserBias"), _RECSYS),
}
"""What Evidently has and this check does not take, and why."""
NOT_OPTIONS = frozenset(
    {"conf_matrix", "pr_curve", "pr_table", "roc_curve", "error_plot", "error_distr", "error_normality", "nbinsx"}
    | {"perc_error_plot", "pred_actual_plot", "classification_name", "regression_name", "include_tests"}
    | {"embeddings", "embeddings_drift_method", "text_method", "text_threshold"}
)
"""Evidently's options that only draw, name what a job names elsewhere, or speak of text and embeddings."""


def all_measures() -> dict[str, MeasureSpec]:
    """Every measure that any of the metrics gives, in the table's order."""
    return {name: spec for form in METRICS.values() for name, spec in form.gives.items()}


def _is_label(value: Any) -> bool:
    return isinstance(value, str | int)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _problem(option: str, value: Any) -> str:
    """What an option's value must be, or nothing where it is."""
    if option in CHOICES or option.endswith("method"):
        choices: Sequence[str] = CHOICES.get(option, METHODS)
        given = value.values() if option == "per_column_method" and isinstance(value, Mapping) else [value]
        wrong = [item for item in given if item not in choices]
        return suggest(str(wrong[0]), choices) if wrong else ""
    if option in ("values", "categories", "columns"):
        fits = isinstance(value, list | tuple) and len(value) > 0 and all(map(_is_label, value))
        return "" if fits else "it must be a list with at least one item"
    if option == "per_column_threshold":
        fits = isinstance(value, Mapping) and all(map(_is_number, value.values()))
        return "" if fits else "it must be a mapping of columns to numbers"
    if option in ("category", "replace_nan"):
        return "" if _is_label(value) else "it must be text, a whole number, true or false"
    if option in ("column", "column_name", "by"):
        return "" if isinstance(value, str) and value else "it must be text"
    if option in ("quantile", "probas_threshold", "drift_share", "min_success_rate"):
        return "" if _is_number(value) and 0 <= value <= 1 else "it must be a number from 0 to 1"
    if option == "k":
        return "" if type(value) is int and value > 0 else "it must be a whole number of at least 1"
    return "" if _is_number(value) else "it must be a number"


def checked(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    """The entry of a job file as it stands, where it asks for something there is; raises ValueError in one sentence.

    >>> checked({"metric": "ValueDrfit", "column": "age"})
    Traceback (most recent call last):
    ...
    ValueError: unknown metric 'ValueDrfit'; did you mean 'ValueDrift'?
    """
    name = entry.get("metric")
    if not isinstance(name, str):
        raise ValueError("an entry of 'metrics' lacks 'metric'; give the name of one of Evidently's metrics")
    if name in REFUSED:
        raise ValueError(f"{name} cannot be a check: {REFUSED[name]}")
    if name not in METRICS:
        raise ValueError(f"unknown metric {name!r}; {suggest(name, list(METRICS))}")
    form = METRICS[name]
    for option, value in entry.items():
        if option == "metric":
            continue
        if option.endswith("tests"):
            raise ValueError(f"{name} takes no {option!r} here; write what is allowed under 'limits'")
        if option not in form.options:
            valid = suggest(option, form.options) if form.options else "it takes none"
            raise ValueError(f"{name} has no option {option!r}; {valid}")
        if problem := _problem(option, value):
            raise ValueError(f"{option} of {name} is {value!r}; {problem}")
    lacking = [option for option in form.needs if option not in entry]
    if lacking:
        raise ValueError(f"{name} needs {lacking[0]!r}")
    return entry


def columns_in(entry: Mapping[str, Any]) -> list[str]:
    """The columns an entry names."""
    named = [entry[option] for option in ("column", "column_name", "by") if option in entry]
    return [
        *named,
        *(
            name
            for option in ("columns", "per_column_method", "per_column_threshold")
            for name in entry.get(option, ())
        ),
    ]


def called(entry: Mapping[str, Any]) -> str:
    """An entry in words.

    >>> called({"metric": "MeanValue", "column": "age", "by": "city"})
    'MeanValue of age by city'
    """
    column = entry.get("column", entry.get("column_name"))
    return f"{entry['metric']}" + (f" of {column}" if column else "") + (f" by {entry['by']}" if "by" in entry else "")


def identity(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    """What an entry measures: two with the same one cannot be told apart."""
    apart = ("metric", "column", "column_name", "by", *METRICS[entry["metric"]].apart)
    return {option: entry[option] for option in apart if option in entry}
