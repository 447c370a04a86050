"""dnn: a YAML file in, a trained, evaluated, explained digit classifier out."""

__version__ = "0.1.0"
