"""Heavy libraries are loaded by the work that needs them, never by starting up."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
HEAVY = {
    "altair",
    "art",
    "evidently",
    "matplotlib",
    "mlflow",
    "pandas",
    "scipy",
    "sklearn",
    "statsmodels",
    "streamlit",
    "torch",
    "transformers",
}
ON_PURPOSE = {"controlplane.models.warm": "what the server of children loads once, so that no child has to"}

IMPORT_EACH = """
import importlib, json, sys
seen, loaded_by = set(), {}
for name in json.loads(sys.argv[1]):
    importlib.import_module(name)
    new = {module.partition(".")[0] for module in sys.modules} - seen
    seen |= new
    loaded_by |= {library: name for library in new}
print(json.dumps(loaded_by))
"""

HELP = """
import contextlib, io, json, sys
from controlplane.cli.main import main
sys.argv = ["controlplane", "--help"]
said = io.StringIO()
with contextlib.redirect_stdout(said), contextlib.suppress(SystemExit):
    main()
assert "validate" in said.getvalue()
print(json.dumps(sorted({module.partition(".")[0] for module in sys.modules})))
"""


PACKAGE = """
import json, sys
before = {module.partition(".")[0] for module in sys.modules}
import controlplane
loaded = {module.partition(".")[0] for module in sys.modules} - before
print(json.dumps(sorted(loaded - set(sys.stdlib_module_names))))
"""


def probe(program: str, *arguments: str) -> object:
    """What `program` printed as JSON, in a fresh interpreter."""
    done = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_importing_any_module_loads_no_heavy_library() -> None:
    names = []
    for path in sorted((ROOT / "controlplane").rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        if not {"demo", "migrations"} & set(parts):
            names.append(".".join(parts).removesuffix(".__init__"))
    loaded_by = probe(IMPORT_EACH, json.dumps(sorted(set(names) - set(ON_PURPOSE))))
    assert isinstance(loaded_by, dict)
    assert {library: module for library, module in loaded_by.items() if library in HEAVY} == {}


def test_importing_the_package_loads_nothing_but_the_package() -> None:
    assert probe(PACKAGE) == ["controlplane"]


def test_asking_for_help_loads_neither_a_heavy_library_nor_what_reads_data() -> None:
    loaded = probe(HELP)
    assert isinstance(loaded, list)
    assert sorted((HEAVY | {"alembic", "apscheduler", "numpy", "pyarrow", "sqlalchemy"}) & set(loaded)) == []
