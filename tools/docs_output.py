"""Run the commands on the pages of the documentation, and write what they print below them.

``python tools/docs_output.py`` runs every ``console`` block of the README and of docs/ in order, in a temporary folder,
and replaces the lines of the ``text`` block that follows by the printed lines of the same form: a page may show only
some of the lines. DNN_DATA_DIR must name a folder with mnist.npz, because the pages show results on MNIST.
"""

import os
import re
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.docs.pages import FENCE, blocks, pages, printed_lines, write_scans  # noqa: E402

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}
LONG = {"docs/how-to/overfitting.md"}  # whose trainings take minutes; ``--all`` runs them too


def main() -> None:
    """Run the commands and rewrite the pages."""
    if not os.environ.get("DNN_DATA_DIR"):
        sys.exit("error: DNN_DATA_DIR is not set, so the pages would show results on the sample instead of MNIST")
    chosen = [page for page in pages() if "--all" in sys.argv or page.relative_to(ROOT).as_posix() not in LONG]
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        write_scans(Path(folder))
        answers: dict[str, str] = {}
        for page in chosen:
            outputs = _outputs(page, answers)
            if not outputs:
                continue
            _rewrite(page, outputs)
            translation = page.with_name(f"{page.stem}.zh.md")
            if translation.exists():
                _rewrite(translation, outputs)


def _outputs(page: Path, answers: dict[str, str]) -> list[str]:
    """Run the page's commands that did not run before; return the output shown by each of its text blocks."""
    outputs, last = [], ""
    for block in blocks(page):
        if block.language == "console":
            for command in block.commands:
                last = command
                if command.startswith("dnn ") and command not in answers:
                    answers[command] = _run(command)
        elif block.language == "text":
            outputs.append(answers.get(last, ""))
        elif block.file:
            Path(block.file).write_text(block.text, encoding="utf-8")
        elif block.language == "python":
            subprocess.run([sys.executable, "-c", block.text], check=True, env=ENVIRONMENT)
    return outputs


def _run(command: str) -> str:
    print(f"$ {command}", flush=True)
    words = [sys.executable, "-m", "dnn_cli", *shlex.split(command)[1:]]
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=ENVIRONMENT)
    called = f"{shlex.quote(sys.executable)} -m dnn_cli"
    return (done.stderr + done.stdout).replace(called, "dnn")


def _rewrite(page: Path, outputs: list[str]) -> None:
    remaining = iter(outputs)

    def replaced(match: re.Match[str]) -> str:
        if match[1] != "text":
            return match[0]
        lines = printed_lines(match[2], next(remaining))
        return match[0] if lines is None else f"```text\n{lines}```"

    text = page.read_text(encoding="utf-8")
    page.write_text(FENCE.sub(replaced, text), encoding="utf-8")


if __name__ == "__main__":
    main()
