"""The Keras engine: Keras on TensorFlow, with epochs compiled by XLA."""
