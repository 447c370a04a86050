"""Test that the documentation is true: commands run as they stand and print what a page shows, links lead somewhere."""

import re
import shlex
from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote

import pytest

from dnn_cli.cli import COMMANDS
from dnn_cli.config import loading
from tests.conftest import ROOT, Answer
from tests.docs.pages import Block, blocks, numbers, pages, shows, write_scans

README = ROOT / "README.md"
LONG = "docs/how-to/overfitting.md"  # its trainings take minutes; `test_recipes` tests that page
TRANSLATED = [("README.md", "README.zh.md"), ("docs/tutorial/index.md", "docs/tutorial/index.zh.md")]


@pytest.mark.slow
def test_every_command_runs_and_prints_what_the_page_shows(
    dnn: Callable[..., Answer], process: Callable[..., Answer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DNN_DATA_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(Path.cwd() / "cache"))
    write_scans(Path.cwd())
    answers: dict[str, Answer] = {}
    for page in pages():
        last = ""
        for block in blocks(page):
            if block.page == LONG:
                continue
            if block.language == "console":
                for command in block.commands:
                    last = command
                    if command.startswith("dnn ") and command not in answers:
                        # TensorFlow cannot change its number of threads in the test's process.
                        call = process if "training.threads" in command else dnn
                        answers[command] = call(*shlex.split(command)[1:])
            elif block.language == "text" and last:
                check_output(block, last, answers[last])
            elif block.file:
                Path(block.file).write_text(block.text, encoding="utf-8")
            elif block.language == "python":
                exec(block.text, {})
    failed = {command: answer for command, answer in answers.items() if answer.code != 0}
    assert [answer.code for answer in failed.values()] == [2], failed
    assert len(answers) > 40


def check_output(block: Block, command: str, answer: Answer) -> None:
    # The pages show results on MNIST, and the test has the sample in its place.
    printed = (answer.stderr + answer.stdout).replace("mnist-sample", "mnist")
    assert shows(block.text.replace("mnist-sample", "mnist"), printed), (
        f"{block.page}: {command} prints\n{printed}\nand the page shows\n{block.text}"
    )


def test_every_other_config_on_a_page_is_valid() -> None:
    examples = [
        block for page in pages() for block in blocks(page) if block.language == "yaml" and block.file != "broken.yaml"
    ]
    assert len(examples) >= 4
    for example in examples:
        loading.parse(example.text, example.page)


def test_links_inside_the_repository_lead_somewhere() -> None:
    sources = [*pages(), ROOT / "README.zh.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md"]
    for page in sources:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            path = page.parent / unquote(target)
            assert path.exists() or path.with_name(f"{path.name}.md").exists(), f"{page.name}: {target}"


def test_the_readme_is_one_page_and_names_every_command() -> None:
    text = README.read_text(encoding="utf-8")
    assert len(text.encode()) < 8192
    assert set(re.findall(r"^\| `dnn (\w+)` \|", text, re.MULTILINE)) == set(COMMANDS)
    assert text.count("textbook chapter") == 1


@pytest.mark.parametrize("page", ["README.md", "README.zh.md"])
def test_the_readme_installs_with_uv_pipx_or_a_virtual_environment(page: str) -> None:
    commands = [command for block in blocks(ROOT / page) if block.language == "console" for command in block.commands]
    assert [command for command in commands if "install" in command] == [
        "uv tool install '.[report,images]'",
        "pipx install '.[report,images]'",
        "python3 -m venv venv && venv/bin/pip install '.[report,images]'",
    ]


def test_every_make_target_that_a_page_names_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    texts = [page.read_text(encoding="utf-8") for page in [*pages(), ROOT / "CONTRIBUTING.md"]]
    named = {name for text in texts for name in re.findall(r"(?:\$ |`)make ([a-z-]+)", text)}
    assert {"train", "test", "bench", "docs"} <= named <= targets


def test_every_shipped_config_is_described() -> None:
    page = (ROOT / "docs" / "reference" / "shipped-configs.md").read_text(encoding="utf-8")
    described = re.findall(r"^\| \[`([\w-]+)`\]\(\S+/configs/\1\.yaml\) \|", page, re.MULTILINE)
    assert set(described) == set(loading.SHIPPED) == {path.stem for path in (ROOT / "configs").glob("*.yaml")}


def test_every_exit_code_is_explained() -> None:
    page = (ROOT / "docs" / "reference" / "exit-codes.md").read_text(encoding="utf-8")
    explained = numbers(" ".join(re.findall(r"^\| ([\d, ]+) \|", page, re.MULTILINE)))
    assert explained == ["0", "1", "2", "3", "129", "130", "143"]


@pytest.mark.parametrize(("original", "translation"), TRANSLATED)
def test_a_translation_has_the_same_commands_and_figures(original: str, translation: str) -> None:
    first, second = (
        [block for block in blocks(ROOT / page) if block.language != "{toctree}"] for page in (original, translation)
    )
    assert [block.language for block in first] == [block.language for block in second]
    for one, other in zip(first, second, strict=True):
        assert one.commands == other.commands if one.language == "console" else one.text == other.text
    tables = [
        re.findall(r"^\| .*\|$", (ROOT / page).read_text(encoding="utf-8"), re.MULTILINE)
        for page in (original, translation)
    ]
    assert numbers("\n".join(tables[0])) == numbers("\n".join(tables[1]))


def test_every_file_of_a_run_is_explained(dnn: Callable[..., Answer]) -> None:
    assert dnn("train", "-c", "smoke", "--epochs", 2, "--run-dir", "run", "--engine", "numpy").code == 0
    assert dnn("evaluate", "run").code == 0
    page = (ROOT / "docs" / "reference" / "run-directory.md").read_text(encoding="utf-8")
    files = [path.relative_to("run").as_posix() for path in Path("run").rglob("[!.]*.*")]
    assert len(files) >= 7
    assert all(f"`{file}`" in page or file.startswith("evaluation/") for file in files)
    header = Path("run/history.csv").read_text(encoding="utf-8").splitlines()[0].split(",")
    assert all(f"`{column}`" in page for column in header)


def test_every_environment_variable_is_explained() -> None:
    page = (ROOT / "docs" / "reference" / "environment.md").read_text(encoding="utf-8")
    code = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "dnn_cli").rglob("*.py"))
    of_others = {"XLA_FLAGS", "TF_XLA_FLAGS", "KERAS_BACKEND", "COMP_WORDS"}
    read = set(re.findall(r"environ(?:\.get\(|\[)\"(\w+)\"", code)) - of_others
    assert read
    assert read <= set(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE))
