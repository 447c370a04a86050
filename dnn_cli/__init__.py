"""dnn: a YAML file in, a trained, evaluated, explained digit classifier out.

In Python: ``import dnn_cli as dnn``, then ``run = dnn.train("smoke")``. Each name is imported when it is first used.
"""

from typing import TYPE_CHECKING

__version__ = "0.2.0"

if TYPE_CHECKING:
    from dnn_cli.api import Run, compare, evaluate, export, load, predict, report, resume, train
    from dnn_cli.config.schema import Config
    from dnn_cli.errors import (
        ConfigError,
        DataError,
        DnnError,
        DnnWarning,
        GateError,
        InterruptedTrainingError,
        RunError,
        TrainingError,
        UsageError,
    )
    from dnn_cli.evaluation.predict import Prediction
    from dnn_cli.runs.comparison import Comparison
    from dnn_cli.runs.records import Evaluation

__all__ = [
    "Comparison",
    "Config",
    "ConfigError",
    "DataError",
    "DnnError",
    "DnnWarning",
    "Evaluation",
    "GateError",
    "InterruptedTrainingError",
    "Prediction",
    "Run",
    "RunError",
    "TrainingError",
    "UsageError",
    "compare",
    "evaluate",
    "export",
    "load",
    "predict",
    "report",
    "resume",
    "train",
]

if not TYPE_CHECKING:  # a type checker would take any name for one that this function finds

    def __getattr__(name: str) -> object:
        """Import a public name on its first use (PEP 562)."""
        from importlib import import_module

        modules = {
            "Comparison": "runs.comparison",
            "Config": "config.schema",
            "Evaluation": "runs.records",
            "Prediction": "evaluation.predict",
        }
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        is_error = name.endswith(("Error", "Warning"))
        module = import_module(f"{__name__}.{modules.get(name, 'errors' if is_error else 'api')}")
        globals()[name] = getattr(module, name)
        return globals()[name]

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
