"""Importers: public datasets, turned into the project's own layout."""
