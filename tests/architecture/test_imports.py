"""Who may import whom, and which library may be used where. ARCHITECTURE.md says why; these tables say what."""

import ast
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]

SIBLINGS = {"probe", "store", "registry", "models", "workers", "executors", "rmf", "checks", "sources", "notifiers"}
BELOW = {"ports", "profiles", "domain", "errors", "signing"}
MAY_IMPORT = {
    "domain": set(),
    "errors": set(),
    "signing": set(),
    "profiles": {"domain", "errors"},
    "ports": {"profiles", "domain", "errors"},
    "log": {"profiles", "domain", "errors"},
    **{sibling: BELOW for sibling in SIBLINGS},
    "sources": {"log"} | BELOW,
    "config": BELOW,
    "engine": SIBLINGS | BELOW,
    "app": {"engine", "config"} | SIBLINGS | BELOW,
    "comparison": {"sources"} | BELOW,
    "arrival": {"domain"},
    "serving": {"log", "registry", "store"} | BELOW,
    "demo": {"app", "arrival", "profiles", "domain", "errors"},
    "drills": {"app", "arrival", "config", "engine"} | SIBLINGS | BELOW,
    "cli": {"app", "config", "demo", "drills", "engine", "serving", "log", "store", "rmf", "ports", "domain", "errors"},
    "__main__": {"cli"},
    "dashboards": {"store", "rmf", "domain", "errors"},
}
"""A place is the first name below `controlplane`; every place may import itself."""

LIBRARIES = {
    "alembic": ("store",),
    "altair": ("dashboards",),
    "apscheduler": ("engine.scheduler",),
    "art": ("checks.attack",),
    "cronsim": ("engine", "config"),
    "evidently": ("engine.followups", "checks.evidently"),
    "fsspec": ("sources", "log"),
    "httpx": ("notifiers", "probe"),
    "jinja2": ("rmf",),
    "matplotlib": ("demo.picture",),
    "mlflow": (
        *("registry", "models", "serving", "engine.followups", "sources.traces"),
        *("demo", "drills.versions", "drills.faulty"),
    ),
    "numpy": ("profiles", "ports", "checks", "models", "sources", "engine", "arrival", "demo", "drills", "log"),
    "pandas": ("comparison.result", "models", "engine.followups", "dashboards", "demo"),
    "prometheus_client": ("serving",),
    "pyarrow": (
        *("comparison", "profiles", "ports", "checks", "models", "sources", "engine", "workers"),
        *("arrival", "demo", "drills", "log"),
    ),
    "pydantic": ("config",),
    "pydantic_core": ("config",),
    "pydantic_settings": ("config",),
    "rich": ("cli", "demo"),
    "scipy": ("profiles", "checks", "demo"),
    "sklearn": ("checks", "demo"),
    "sqlalchemy": ("store", "sources.sql", "dashboards.queries", "dashboards.series"),
    "starlette": ("serving",),
    "statsmodels": ("demo",),
    "streamlit": ("dashboards",),
    "torch": (
        *("models.registered", "models.torch", "checks.attack", "checks.evasion", "checks.ood_energy"),
        *("demo", "drills.faulty"),
    ),
    "typer": ("cli",),
    "uvicorn": ("serving",),
    "ulid": ("store", "engine", "log"),
    "yaml": ("config",),
}
"""Where a library is at home: these modules, what is below them, and names that go on with an underscore."""

COMES_WITH = {"pydantic_core": "pydantic"}
LOADED_BY_ANOTHER = {
    "httptools": "uvicorn parses requests with it where it is there",
    "uvloop": "uvicorn runs on it where it is there",
    "psycopg": "SQLAlchemy's driver for PostgreSQL",
    "transformers": "MLflow loads models of that flavour with it",
}


def modules() -> Iterator[tuple[str, Path]]:
    """Every module of the product as its name below `controlplane`, and its file."""
    for path in sorted((ROOT / "controlplane").rglob("*.py")):
        yield ".".join(path.relative_to(ROOT / "controlplane").with_suffix("").parts).removesuffix("__init__"), path
    for path in sorted((ROOT / "dashboards").rglob("*.py")):
        yield ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix("__init__"), path


def imported(source: str) -> Iterator[tuple[int, str]]:
    """Line and dotted name of everything a text imports: at its top, inside functions, for types only, or by name."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import():
                yield from ((node.lineno, alias.name) for alias in node.names)
            case ast.ImportFrom(level=0, module=str(module)):
                yield from ((node.lineno, f"{module}.{alias.name}") for alias in node.names)
            case ast.ImportFrom():
                yield node.lineno, "relative"
            case ast.Call(
                func=ast.Name("import_module" | "__import__") | ast.Attribute(attr="import_module"),
                args=[ast.Constant(str(name)), *_],
            ):
                yield node.lineno, name


EDGES = [(module, path, line, name) for module, path in modules() for line, name in imported(path.read_text())]


def at(path: Path, line: int) -> str:
    return f"{path.relative_to(ROOT)}:{line}"


def is_home(module: str, home: str) -> bool:
    return module == home or module.startswith((f"{home}.", f"{home}_"))


@pytest.mark.parametrize(
    "source",
    [
        "import controlplane.app",
        "from controlplane import app",
        "def f():\n    from controlplane.app import wire",
        "if TYPE_CHECKING:\n    from controlplane.app import App",
        "import_module('controlplane.app')",
        "importlib.import_module('controlplane.app', None)",
    ],
)
def test_no_way_to_import_goes_unseen(source: str) -> None:
    assert [name.split(".")[:2] for _, name in imported(source)] == [["controlplane", "app"]]


def test_every_place_has_its_row() -> None:
    assert {module.partition(".")[0] for module, _ in modules()} - {""} <= set(MAY_IMPORT)


def test_imports_are_absolute() -> None:
    assert [at(path, line) for _, path, line, name in EDGES if name == "relative"] == []


def test_the_package_itself_names_its_library_and_imports_nothing() -> None:
    # test_lazy holds that the library is not loaded.
    found = {name for module, _, _, name in EDGES if module == ""}
    library = {"controlplane.comparison", "controlplane.comparison.Comparison", "controlplane.comparison.compare"}
    assert found - library <= {"importlib.import_module", "typing.TYPE_CHECKING", "typing.Any"}


@pytest.mark.parametrize("place", sorted(MAY_IMPORT))
def test_a_place_imports_only_what_is_below_it(place: str) -> None:
    wrong = []
    for module, path, line, name in EDGES:
        top, _, rest = name.partition(".")
        target = rest.partition(".")[0]
        allowed = MAY_IMPORT[place] | {place, "__version__"}
        if module.partition(".")[0] == place and top == "controlplane" and target not in allowed:
            wrong.append(f"{at(path, line)} imports {name}")
    assert wrong == []


@pytest.mark.parametrize("place", ["domain", "errors"])
def test_the_innermost_places_need_the_standard_library_only(place: str) -> None:
    wrong = []
    for module, path, line, name in EDGES:
        known = name.partition(".")[0] in sys.stdlib_module_names or name.startswith(f"controlplane.{place}")
        if module.partition(".")[0] == place and not known:
            wrong.append(f"{at(path, line)} imports {name}")
    assert wrong == []


def test_a_library_is_used_only_where_it_is_at_home() -> None:
    wrong = []
    for module, path, line, name in EDGES:
        top = name.partition(".")[0]
        if top in sys.stdlib_module_names or top in ("controlplane", "relative"):
            continue
        if not any(is_home(module, home) for home in LIBRARIES.get(top, ())):
            wrong.append(f"{at(path, line)} imports {name}")
    assert wrong == []


def test_every_declared_dependency_is_used_and_every_used_one_is_declared() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    listed = [*project["dependencies"], *extras["robustness"], *extras["dashboard"], *extras["postgres"]]
    declared = {canonicalize_name(Requirement(line).name) for line in listed}
    owners = packages_distributions()
    tops = {name.partition(".")[0] for *_, name in EDGES} - sys.stdlib_module_names - {"controlplane", "relative"}
    used = {top: set(map(canonicalize_name, owners[COMES_WITH.get(top, top)])) for top in tops}
    assert sorted(declared - set().union(*used.values()) - set(LOADED_BY_ANOTHER)) == []
    assert [top for top, given_by in used.items() if declared.isdisjoint(given_by)] == []
