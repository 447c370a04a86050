"""Training: plan, epoch loop, checkpoints, signals, transfer of weights, series."""
