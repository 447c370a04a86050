"""The NumPy engine: the same networks and training without TensorFlow."""
