"""Sources: the forms in which data are stored, one module each, behind the interface `source.Source`."""
