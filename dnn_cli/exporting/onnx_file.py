"""Write a network as an ONNX file with the package `onnx` alone, and run one with onnxruntime.

The operators are those of https://onnx.ai/onnx/operators.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dnn_cli.exporting.contract import Contract
from dnn_cli.exporting.plain_network import PlainNetwork
from dnn_cli.typing import Array

if TYPE_CHECKING:
    import onnx

FILE = "model.onnx"
OPSET = 20  # the first with Gelu
IR_VERSION = 9  # the first with this opset; runtimes refuse newer ones than they know
SIMPLE: dict[str, tuple[str, dict[str, float | str]]] = {  # activations that are one operator with attributes
    "relu": ("Relu", {}),
    "leaky_relu": ("LeakyRelu", {"alpha": 0.2}),
    "elu": ("Elu", {"alpha": 1.0}),
    "celu": ("Elu", {"alpha": 1.0}),
    "exponential": ("Exp", {}),
    "sigmoid": ("Sigmoid", {}),
    "hard_sigmoid": ("HardSigmoid", {"alpha": 1 / 6, "beta": 0.5}),
    "sparse_sigmoid": ("HardSigmoid", {"alpha": 0.5, "beta": 0.5}),
    "tanh": ("Tanh", {}),
    "softplus": ("Softplus", {}),
    "softsign": ("Softsign", {}),
    "selu": ("Selu", {"alpha": 1.6732632423543772, "gamma": 1.0507009873554805}),
    "hard_silu": ("HardSwish", {}),
    "hard_swish": ("HardSwish", {}),
    "gelu": ("Gelu", {"approximate": "none"}),
    "mish": ("Mish", {}),
    "hard_shrink": ("Shrink", {"lambd": 0.5, "bias": 0.0}),
    "soft_shrink": ("Shrink", {"lambd": 0.5, "bias": 0.5}),
    "softmax": ("Softmax", {"axis": 1}),
}


class _Graph:
    """The nodes and constants of a graph that is being written."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: dict[str, Array] = {}

    def add(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """Append a node; return the name of its output."""
        from onnx import helper

        output = f"{kind.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [output], **attributes))
        return output

    def constant(self, values: Any, name: str = "") -> str:
        """Store an array or a number; return its name."""
        name = name or f"constant_{len(self.constants)}"
        self.constants[name] = np.asarray(values, np.float32)
        return name


def _clip(graph: _Graph, z: str, low: float, high: float) -> str:
    return graph.add("Clip", z, graph.constant(low), graph.constant(high))


def _log_sigmoid(graph: _Graph, z: str) -> str:
    return graph.add("Neg", graph.add("Softplus", graph.add("Neg", z)))


def _squareplus(graph: _Graph, z: str) -> str:
    root = graph.add("Sqrt", graph.add("Add", graph.add("Mul", z, z), graph.constant(4)))
    return graph.add("Mul", graph.add("Add", z, root), graph.constant(0.5))


def _sparse_plus(graph: _Graph, z: str) -> str:
    inner = _clip(graph, graph.add("Add", z, graph.constant(1)), 0, 2)
    return graph.add("Max", graph.add("Mul", graph.add("Mul", inner, inner), graph.constant(0.25)), z)


def _silu(graph: _Graph, z: str) -> str:
    return graph.add("Mul", z, graph.add("Sigmoid", z))


COMPOSED: dict[str, Callable[[_Graph, str], str]] = {
    "linear": lambda _, z: z,
    "relu6": lambda graph, z: _clip(graph, z, 0, 6),
    "hard_tanh": lambda graph, z: _clip(graph, z, -1, 1),
    "log_sigmoid": _log_sigmoid,
    "squareplus": _squareplus,
    "sparse_plus": _sparse_plus,
    "silu": _silu,
    "swish": _silu,
    "tanh_shrink": lambda graph, z: graph.add("Sub", z, graph.add("Tanh", z)),
}


def write(network: PlainNetwork, contract: Contract, folder: Path) -> None:
    """Write the network into a folder."""
    import onnx

    model = build(network, contract)
    onnx.checker.check_model(model, full_check=True)
    (folder / FILE).write_bytes(model.SerializeToString())


def build(network: PlainNetwork, contract: Contract) -> "onnx.ModelProto":
    """Return the ONNX model of a network: ``images`` → ``probabilities``."""
    from onnx import TensorProto, helper, numpy_helper

    graph = _Graph()
    x = "images"
    if contract.input == "uint8":
        x = graph.add("Div", graph.add("Cast", x, to=TensorProto.FLOAT), graph.constant(255))
    x = graph.add("Flatten", x, axis=1)
    for number, step in enumerate(network.steps, 1):
        weights = graph.constant(step.weights, f"dense_{number}.weights")
        x = graph.add("Gemm", x, weights, graph.constant(step.bias, f"dense_{number}.bias"))
        x = _activation(graph, step.activation, x)
    graph.nodes[-1].output[0] = "probabilities"
    kind = TensorProto.UINT8 if contract.input == "uint8" else TensorProto.FLOAT
    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "network",
            [helper.make_tensor_value_info("images", kind, ["n", *network.image_shape])],
            [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["n", network.classes])],
            [numpy_helper.from_array(values, name) for name, values in graph.constants.items()],
        ),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="dnn",
        producer_version=contract.program,
        doc_string=" → ".join(contract.sentences.values()),
    )
    helper.set_model_props(model, contract.properties())
    return model


def _activation(graph: _Graph, name: str, z: str) -> str:
    if name in SIMPLE:
        kind, attributes = SIMPLE[name]
        return graph.add(kind, z, **attributes)
    return COMPOSED[name](graph, z)


class Runtime:
    """An ONNX file in onnxruntime."""

    def __init__(self, folder: Path) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(folder / FILE, options, providers=["CPUExecutionProvider"])

    def predict(self, images: Array) -> Array:
        """Return the probabilities (n, classes) of images (n, …)."""
        (probabilities,) = self._session.run(["probabilities"], {"images": images})
        return np.asarray(probabilities)
