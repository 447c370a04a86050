"""The NumPy engine: the same networks and the same training without TensorFlow."""
