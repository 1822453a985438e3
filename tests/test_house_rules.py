"""The rules of the house, as far as a machine can see them."""

import ast
import dataclasses
import importlib.util
import json
import pathlib
import re
import subprocess
import sys
import tomllib

import pytest

from kmodels.core import zoo

ROOT = pathlib.Path(__file__).parents[1]
SOURCES = [
    file
    for folder in ("kmodels", "training", "serving", "examples", "benchmarks", "docs", "tests")
    for file in sorted((ROOT / folder).rglob("*.py"))
]
SHIPPED = [f for f in SOURCES if f.relative_to(ROOT).parts[0] in ("kmodels", "training", "serving")]
MOST_LINES, MOST_FUNCTION_LINES, MOST_COLUMNS = 400, 40, 100
FORBIDDEN = {"utils", "util", "common", "helpers", "helper", "misc"}

each_source = pytest.mark.parametrize("file", SOURCES, ids=lambda f: str(f.relative_to(ROOT)))
each_shipped = pytest.mark.parametrize("file", SHIPPED, ids=lambda f: str(f.relative_to(ROOT)))


def functions(tree):
    return [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]


@pytest.mark.tiny
@each_source
def test_a_file_is_short_and_named_for_what_it_holds(file):
    text = file.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= MOST_LINES
    assert not FORBIDDEN & set(file.relative_to(ROOT).with_suffix("").parts)
    assert not re.search(r"\b(TO" + r"DO|FIX" + r"ME|XX" + r"X)\b", text)


@pytest.mark.tiny
@each_shipped
def test_functions_are_short(file):
    """Lines of the function itself; its docstring and functions inside it are not counted."""
    for function in functions(ast.parse(file.read_text())):
        first = function.body[0]
        documented = ast.get_docstring(function) is not None
        away = first.end_lineno - first.lineno + 1 if documented else 0
        for inner in functions(function):
            if inner is not function:
                away += inner.end_lineno - inner.lineno + 1
        length = function.end_lineno - function.lineno + 1 - away
        assert length <= MOST_FUNCTION_LINES, f"{function.name} has {length} lines"


@pytest.mark.tiny
@each_shipped
def test_modules_and_public_functions_say_what_they_are(file):
    tree = ast.parse(file.read_text())
    assert ast.get_docstring(tree)
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            assert ast.get_docstring(node) or node.name == "main", node.name


@pytest.mark.tiny
@each_shipped
def test_keras_is_imported_as_itself(file):
    code = [n for n in ast.walk(ast.parse(file.read_text())) if isinstance(n, ast.Attribute)]
    assert not [
        n
        for n in code
        if n.attr == "keras" and isinstance(n.value, ast.Name) and n.value.id == "tf"
    ]
    assert "tensorflow.keras" not in file.read_text()


def imported(file):
    """Modules of kmodels that a file imports."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return {name.split(".")[1] for name in found if name.startswith("kmodels.")}


@pytest.mark.tiny
@each_shipped
def test_graphs_are_traced_as_written(file):
    """Decision 0021, of `tf.function` and of what a dataset or `tf.map_fn` maps."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    marks = {f.name: [ast.unparse(d) for d in f.decorator_list] for f in functions(tree)}
    assert not any("tf.function" in decorators for decorators in marks.values())
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        made = ast.unparse(call.func)
        if made == "tf.function":
            assert "autograph" in {k.arg for k in call.keywords}, ast.unparse(call)
        elif re.search(r"\.(map|flat_map|map_fn)$", made) and made != "pool.map":
            mapped = ast.unparse(call.args[0])
            assert "tf.autograph.experimental.do_not_convert" in marks[mapped], mapped


@pytest.mark.tiny
@pytest.mark.parametrize("name", zoo.names())
def test_papers_import_older_papers_only(name):
    year = zoo.load(name).PAPER.year
    for other in imported(ROOT / "kmodels" / f"{name}.py") & set(zoo.names()):
        assert zoo.load(other).PAPER.year <= year, f"{name} ({year}) imports {other}"
        assert name not in imported(ROOT / "kmodels" / f"{other}.py"), "in a circle"


@pytest.mark.tiny
@pytest.mark.parametrize("name", zoo.names())
def test_a_paper_comes_with_recipe_golden_file_and_tiny(name):
    assert (ROOT / "training" / "recipes" / f"{name}.py").exists()
    stored = json.loads((ROOT / "tests" / "golden" / f"{name}.json").read_text())
    assert set(stored) == {"parameters", "tiny"}
    assert "tiny" in zoo.load(name).PRESETS
    assert dataclasses.is_dataclass(zoo.load(name).PRESETS["tiny"])


@pytest.mark.tiny
def test_no_golden_file_without_its_paper():
    assert {f.stem for f in (ROOT / "tests" / "golden").glob("*.json")} == set(zoo.names())


def project():
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_the_gallery_of_the_readme_is_that_of_the_zoo():
    readme = (ROOT / "README.md").read_text()
    (block,) = re.findall(r"<!-- gallery -->\n(.*?)<!-- /gallery -->", readme, re.S)
    assert all(f"`{name}`" in block for name in zoo.names())
    check = [sys.executable, "-m", "docs.gallery", "--check"]
    done = subprocess.run(check, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def name_of(requirement):
    return re.match(r"[A-Za-z0-9_.-]+", requirement)[0].lower().replace("_", "-")


def test_every_dependency_is_pinned_and_explained():
    described = (ROOT / "BUILD.md").read_text().lower().replace("_", "-")
    settings = project()
    groups = settings["dependency-groups"].values()
    wanted = [
        *settings["project"]["dependencies"],
        *(r for group in groups for r in group if isinstance(r, str)),
    ]
    for requirement in wanted:
        assert "==" in requirement, requirement
        assert re.search(
            rf"(?<![a-z0-9-]){re.escape(name_of(requirement))}(?![a-z0-9-])", described
        ), f"BUILD.md does not say why {requirement} is there"


def test_the_lock_names_no_place_to_download_from():
    lock = (ROOT / "requirements.lock").read_text()
    assert "://" not in lock
    pinned = {name_of(line) for line in lock.splitlines() if re.match(r"[A-Za-z]", line)}
    assert {name_of(r) for r in project()["project"]["dependencies"]} <= pinned


def test_import_contracts_are_kept():
    if importlib.util.find_spec("importlinter") is None:
        pytest.skip("import-linter is in the group `dev`")
    done = subprocess.run(
        [str(pathlib.Path(sys.executable).with_name("lint-imports")), "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
