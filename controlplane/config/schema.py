"""The JSON Schema of a job file, for editors: what `load_jobs` accepts, with each kind's own options folded in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic.json_schema import GenerateJsonSchema

from controlplane.config.forms import JobForm
from controlplane.config.kinds import adapter, find, known_columns, option_names
from controlplane.ports import names

Schema = dict[str, Any]


def json_schema() -> Schema:
    """The JSON Schema (draft 2020-12) of one job file.

    Editors complete and check by it; what a schema cannot say (a cron line that never fires, a name used twice) only
    `load_jobs` finds.
    """
    # Only in this mode does pydantic spell defaults as the file would: "5m", not PT5M.
    schema = JobForm.model_json_schema(by_alias=True, mode="serialization")
    definitions: Schema = schema["$defs"]
    definitions["SourceForm"] = _sources(definitions)
    _fold_checks(definitions)
    _relax_columns(schema)
    _without_null(schema)
    title = {"$schema": GenerateJsonSchema.schema_dialect, "title": "Control Plane job"}
    return {**title, **{key: value for key, value in schema.items() if key != "title"}}


def _relax_columns(schema: Schema) -> None:
    """Which column plays which part need not be said where the kind of source knows it."""
    known = [name for name in names("sources") if known_columns(name)]
    schema["required"].remove("columns")
    needed = schema["$defs"]["ColumnsForm"].pop("required")
    told = {"properties": {"source": {"properties": {"kind": {"enum": known}}}}}
    columns = {"description": schema["properties"]["columns"]["description"], "required": needed}
    schema["allOf"] = [{"if": told, "else": {"required": ["columns"], "properties": {"columns": columns}}}]


def _sources(definitions: Schema) -> Schema:
    kinds = names("sources")
    kind = {"enum": kinds, "description": "which source reads the rows"}
    branches = []
    for name in kinds:
        options = _options("sources", name, definitions)
        properties = {"kind": {"const": name, "description": kind["description"]}, **options["properties"]}
        branches.append({**options, "properties": properties, "required": ["kind", *options.get("required", [])]})
    return {"type": "object", "properties": {"kind": kind}, "required": ["kind"], "oneOf": branches}


def _fold_checks(definitions: Schema) -> None:
    form = definitions["CheckForm"]
    form["properties"]["check"]["enum"] = names("checks")
    form["allOf"] = []
    for name in names("checks"):
        check = find("checks", name)
        limits = {
            measure: {"$ref": "#/$defs/LimitForm", "description": f"{spec.meaning} ({spec.unit})"}
            for measure, spec in check.measures.items()
        }
        chosen = {"properties": {"check": {"const": name}}, "required": ["check"]}
        params = _options("checks", name, definitions)
        properties = {"params": params, "limits": {"properties": limits, "additionalProperties": False}}
        form["allOf"].append({"if": chosen, "then": {"properties": properties}})


def _options(table: str, kind: str, definitions: Schema) -> Schema:
    """One kind's own options, as strict as `load_jobs` is; what they refer to goes to `definitions`."""
    params = find(table, kind).Params
    schema = adapter(params).json_schema(ref_template=f"#/$defs/{kind}.{{model}}")
    definitions.update({f"{kind}.{name}": part for name, part in schema.pop("$defs", {}).items()})
    for name in option_names(params):
        schema["properties"][name].setdefault("description", f"an option of {kind}; see its documentation")
    return {**schema, "title": kind, "additionalProperties": False}


def _without_null(schema: Any) -> None:
    """Job files hold no empty values: what may be left out may not be null."""
    for part in schema.values() if isinstance(schema, Mapping) else schema if isinstance(schema, list) else []:
        _without_null(part)
    if not isinstance(schema, dict):
        return
    if schema.get("default", 0) is None:
        del schema["default"]
    choices = schema.get("anyOf")
    if isinstance(choices, list) and {"type": "null"} in choices:
        rest = [choice for choice in choices if choice != {"type": "null"}]
        del schema["anyOf"]
        schema.update(rest[0] if len(rest) == 1 else {"anyOf": rest})
