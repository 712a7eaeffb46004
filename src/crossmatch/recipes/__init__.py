"""Recipes: what a run is set to, how a recipe is read, and the ones that come with the package."""
