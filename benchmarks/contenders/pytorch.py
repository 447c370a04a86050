"""PyTorch in eager mode, with its fused Adam and all cores.

Batches are selected from one tensor by a shuffled index. The `DataLoader` of the tutorials collates image by image,
which is several times slower for data that fit into memory.
"""

import torch  # type: ignore[import-not-found, unused-ignore]
from torch import nn  # type: ignore[import-not-found, unused-ignore]

from contenders import BATCH, BETA_1, BETA_2, CLASSES, EPSILON, HIDDEN, LEARNING_RATE, Tick, load


def train(epochs: int, tick: Tick) -> float:
    """Train as `contenders` describes."""
    data = load()
    images, labels = torch.from_numpy(data.x_train), torch.from_numpy(data.y_train)
    model = nn.Sequential(nn.Linear(784, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, CLASSES))
    loss_of = nn.CrossEntropyLoss()  # takes logits and applies the softmax itself
    betas = (BETA_1, BETA_2)
    optimizer = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE, betas=betas, eps=EPSILON, fused=True)
    tick()
    for _ in range(epochs):
        for batch in torch.randperm(len(images)).split(BATCH):
            loss = loss_of(model(images[batch]), labels[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        tick()
    with torch.no_grad():
        guesses = model(torch.from_numpy(data.x_test)).argmax(1).numpy()
    return float((guesses == data.y_test).mean())
