"""Write a network as one JavaScript file without dependencies, and run one with Node.

The file defines `dnnModel` for browsers, and exports it for Node (CommonJS).
"""

import base64
import json
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from dnn_cli.errors import DnnError
from dnn_cli.exporting.contract import Contract
from dnn_cli.exporting.plain_network import PlainNetwork
from dnn_cli.typing import Array

FILE = "model.js"
ACTIVATIONS = {
    "linear": "z",
    "relu": "z > 0 ? z : 0",
    "leaky_relu": "z > 0 ? z : 0.2 * z",
    "relu6": "Math.min(Math.max(z, 0), 6)",
    "elu": "z > 0 ? z : Math.expm1(z)",
    "celu": "z > 0 ? z : Math.expm1(z)",
    "exponential": "Math.exp(z)",
    "sigmoid": "1 / (1 + Math.exp(-z))",
    "hard_sigmoid": "Math.min(Math.max(z / 6 + 0.5, 0), 1)",
    "sparse_sigmoid": "Math.min(Math.max(z / 2 + 0.5, 0), 1)",
    "tanh": "Math.tanh(z)",
    "hard_tanh": "Math.min(Math.max(z, -1), 1)",
    "softplus": "softplus(z)",
    "softsign": "z / (1 + Math.abs(z))",
    "log_sigmoid": "-softplus(-z)",
    "squareplus": "(z + Math.sqrt(z * z + 4)) / 2",
    "sparse_plus": "Math.max(Math.min(Math.max(z + 1, 0), 2) ** 2 / 4, z)",
    "selu": "1.0507009873554805 * (z > 0 ? z : 1.6732632423543772 * Math.expm1(z))",
    "silu": "z / (1 + Math.exp(-z))",
    "swish": "z / (1 + Math.exp(-z))",
    "hard_silu": "z * Math.min(Math.max(z / 6 + 0.5, 0), 1)",
    "hard_swish": "z * Math.min(Math.max(z / 6 + 0.5, 0), 1)",
    "gelu": "z * (1 + erf(z / Math.SQRT2)) / 2",
    "mish": "z * Math.tanh(softplus(z))",
    "hard_shrink": "Math.abs(z) > 0.5 ? z : 0",
    "soft_shrink": "z - Math.min(Math.max(z, -0.5), 0.5)",
    "tanh_shrink": "z - Math.tanh(z)",
}
# The error function by its series erf x = 2 / sqrt(pi) e^(-x^2) sum 2^k x^(2k+1) / (2k+1)!!, whose terms are all of one
# sign (Abramowitz & Stegun 7.1.6); beyond 6 it is ±1 in double precision.
HELPERS = {
    "softplus": "  const softplus = z => Math.max(z, 0) + Math.log1p(Math.exp(-Math.abs(z)));\n",
    "erf": """\
  const erf = x => {
    if (Math.abs(x) > 6) return Math.sign(x);
    let term = x, sum = x;
    for (let k = 1; Math.abs(term) > 1e-17 * Math.abs(sum); k++) sum += term *= 2 * x * x / (2 * k + 1);
    return 2 / Math.sqrt(Math.PI) * Math.exp(-x * x) * sum;
  };
""",
}
TEMPLATE = """\
// {title}
// dnnModel.predict(pixels) takes one image, {count} numbers in rows ({input}), and returns the probabilities of
// dnnModel.classes as a Float32Array.
"use strict";
const dnnModel = (() => {{
  const contract = {contract};
  const decode = text => {{
    const bytes = Uint8Array.from(atob(text), character => character.charCodeAt(0));
    const numbers = new DataView(bytes.buffer);  // little-endian on every machine
    return Float32Array.from({{length: bytes.length / 4}}, (_, index) => numbers.getFloat32(4 * index, true));
  }};
{helpers}  const layers = [
{layers}
  ];
  const softmax = z => {{
    const highest = Math.max(...z), powers = Array.from(z, value => Math.exp(value - highest));
    const sum = powers.reduce((one, other) => one + other, 0);
    return Float32Array.from(powers, power => power / sum);
  }};
  const predict = pixels => {{
    if (pixels.length !== {count}) throw new RangeError(`expected {count} pixels, got ${{pixels.length}}`);
    let x = Float64Array.from(pixels, pixel => pixel{scale});
    for (const {{weights, bias, activation}} of layers) {{
      const z = Float64Array.from(bias), units = z.length;
      for (let i = 0; i < x.length; i++) {{
        if (x[i] === 0) continue;  // most pixels of a digit are
        for (let j = 0, place = i * units; j < units; j++) z[j] += x[i] * weights[place + j];
      }}
      x = activation ? z.map(activation) : z;
    }}
    return softmax(x);
  }};
  return {{...contract, inputShape: contract.image_shape, predict}};
}})();
if (typeof module !== "undefined") module.exports = dnnModel;
"""
# Reads the images of a file, writes their probabilities to another, and prints the seconds of one image.
PROGRAM = """
const {{readFileSync, writeFileSync}} = require("node:fs");
const model = require({model});
const bytes = Uint8Array.from(readFileSync({images}));
const images = {kind} === "uint8" ? bytes : new Float32Array(bytes.buffer);
const size = model.inputShape.reduce((one, other) => one * other, 1), classes = model.classes.length;
const count = images.length / size, out = new Float32Array(count * classes);
const started = performance.now();
for (let n = 0; n < count; n++) out.set(model.predict(images.subarray(n * size, (n + 1) * size)), n * classes);
console.log((performance.now() - started) / 1000 / count);
writeFileSync({out}, Buffer.from(out.buffer));
"""


def source(network: PlainNetwork, contract: Contract) -> str:
    """Return the JavaScript of a network, which defines `dnnModel` with these members.

    ``classes`` are the names of the outputs, ``inputShape`` is (height, width[, channels]), and ``predict`` takes the
    pixels of one image in rows, 0 to 255 or 0 to 1 as the contract says, and returns a Float32Array of probabilities.
    """
    layers = ",\n".join(
        f'    {{weights: decode("{_encoded(step.weights)}"), bias: decode("{_encoded(step.bias)}"), '
        f"activation: {_function(step.activation)}}}"
        for step in network.steps
    )
    used = " ".join(ACTIVATIONS.get(step.activation, "") for step in network.steps)
    return TEMPLATE.format(
        title=f"A network trained by dnn {contract.program}; made from the checkpoint {contract.checkpoint}",
        count=int(np.prod(network.image_shape)),
        input="0 to 255" if contract.input == "uint8" else "0 to 1",
        contract=_script_safe(contract.to_json()),
        helpers="".join(text for name, text in HELPERS.items() if f"{name}(" in used),
        layers=layers,
        scale=" / 255" if contract.input == "uint8" else "",
    )


def _function(activation: str) -> str:
    return "null" if activation in ("linear", "softmax") else f"z => {ACTIVATIONS[activation]}"


def _encoded(values: Array) -> str:
    return base64.b64encode(values.astype("<f4").tobytes()).decode("ascii")


def _script_safe(text: str) -> str:
    """Return JSON that can stand in the script of a page: ``</script>`` in the name of a class would end it."""
    return text.replace("<", "\\u003c")


def write(network: PlainNetwork, contract: Contract, folder: Path) -> None:
    """Write the network into a folder."""
    (folder / FILE).write_text(source(network, contract), encoding="utf-8")


class Runtime:
    """A JavaScript file in Node, a process for each call."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / FILE
        self._node = shutil.which("node")
        self._seconds = 0.0  # of an image in the last call

    def predict(self, images: Array) -> Array:
        """Return the probabilities (n, classes) of images (n, …); raises `DnnError` if Node fails."""
        if self._node is None:
            raise DnnError("Node is not installed")
        with tempfile.TemporaryDirectory(prefix="dnn-") as temporary:
            given, answered = Path(temporary, "images"), Path(temporary, "probabilities")
            given.write_bytes(images.tobytes())
            places = {"model": self._file.absolute(), "images": given, "out": answered, "kind": images.dtype.name}
            program = PROGRAM.format(**{name: json.dumps(str(place)) for name, place in places.items()})
            done = subprocess.run([self._node, "-e", program], capture_output=True, text=True, check=False)
            if done.returncode:
                raise DnnError(f"Node cannot run {self._file}:\n{done.stderr.strip()}")
            self._seconds = float(done.stdout)
            return np.fromfile(answered, np.float32).reshape(len(images), -1)

    def latency(self, image: Array) -> float:
        """Return the seconds that the last images took each, without the start of Node."""
        return self._seconds
