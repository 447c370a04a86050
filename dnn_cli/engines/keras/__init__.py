"""The Keras engine: Keras on TensorFlow, an epoch compiled by XLA."""
