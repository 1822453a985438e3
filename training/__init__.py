"""From a recipe to a run folder to a SavedModel."""
