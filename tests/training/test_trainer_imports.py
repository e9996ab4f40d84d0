"""What training imports decides what reruns it, and whether it runs where no terminal or database is installed."""

import ast
import json
import subprocess
import sys
from pathlib import Path

FORBIDDEN = ("tokenspectrum.results", "tokenspectrum.cli", "tokenspectrum.evaluation", "rich", "duckdb")


def test_the_train_stage_imports_neither_analysis_nor_the_command_line() -> None:
    script = (
        "import json, sys; import tokenspectrum.stages.train; "
        "print(json.dumps({n: m.__file__ for n, m in sys.modules.items() if n.split('.')[0] == 'tokenspectrum'}))"
    )
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    modules = json.loads(found.stdout)
    assert "tokenspectrum.training.trainers" in modules
    assert not [name for name in modules if name.startswith(FORBIDDEN)]
    # Lazy imports too: transformers brings rich along, so what is loaded tells less than what is written.
    for name, file in modules.items():
        for node in ast.walk(ast.parse(Path(file).read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not [target for target in names if target.startswith(FORBIDDEN)], name
