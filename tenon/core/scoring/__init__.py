"""How well a model does: likelihood of text, simple baselines beside it, and how sure a figure is."""
