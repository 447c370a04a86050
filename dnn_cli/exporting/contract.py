"""What an exported network takes and returns: it stands in the metadata of every format."""

import json
from dataclasses import asdict, dataclass
from typing import Any, Literal

Input = Literal["uint8", "float"]


@dataclass(frozen=True)
class Contract:
    """The description of an exported network.

    Attributes:
        name: the name of the run or file.
        program: the version of dnn that wrote it.
        checkpoint: the SHA-256 digest of the ``.keras`` file that it was made from.
        input: ``uint8`` for pixels 0 to 255, which the network itself scales, or ``float`` for [0, 1].
        image_shape: (height, width[, channels]) of an image; the first axis of the input is the batch, of any size.
        classes: the names of the outputs in their order.
        dataset: the name of the data that it was trained on.
        temperature: that of the calibration, by which the logits are divided already; 1 if there is none.
    """

    name: str
    program: str
    checkpoint: str
    input: Input
    image_shape: tuple[int, ...]
    classes: tuple[str, ...]
    dataset: str
    temperature: float

    @property
    def sentences(self) -> dict[str, str]:
        """The input and the output in words."""
        shape = ", ".join(map(str, ("n", *self.image_shape)))
        values = "uint8, 0 to 255" if self.input == "uint8" else "float32, 0 to 1"
        return {
            "input": f"images ({shape}), {values}; 0 is the background, the highest value the stroke of a digit",
            "output": f"probabilities (n, {len(self.classes)}), float32, each row sums to one",
        }

    def to_dict(self) -> dict[str, Any]:
        """Return the contract as JSON values."""
        return (
            asdict(self)
            | {"image_shape": list(self.image_shape), "classes": list(self.classes)}
            | {"description": self.sentences}
        )

    def to_json(self) -> str:
        """Return the contract as a JSON text on one line, ASCII."""
        return json.dumps(self.to_dict())

    def properties(self) -> dict[str, str]:
        """Return the contract as pairs of texts: what is no text is JSON."""
        return {key: value if isinstance(value, str) else json.dumps(value) for key, value in self.to_dict().items()}
