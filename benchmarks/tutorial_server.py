"""Serve a `.keras` file as a tutorial does it: FastAPI, a Pydantic model of the request, and Keras's `predict`.

python tutorial_server.py FILE PORT
"""

import sys
from typing import Any

import keras
import numpy as np
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel


class Picture(BaseModel):
    """A request: the pixels of a picture, from 0 to 255."""

    pixels: list[list[int]]


app = FastAPI()
network: Any = keras.saving.load_model(sys.argv[1])


@app.post("/predict")
def predict(picture: Picture) -> dict[str, list[float]]:
    """Return the probability of each class."""
    images = np.array(picture.pixels, np.float32)[None] / 255
    return {"probabilities": network.predict(images, verbose=0)[0].tolist()}


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[2]), log_level="warning")
