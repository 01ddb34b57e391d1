"""Small real models that travel with the package, and the recipes that made them.

`nano-lm/` is a folder of weights, tokenizer and card; `core.models.loading` finds it by path. The recipe reads in this
order: `tokenizer.py` (vocabulary and chat template), `toolchats.py` and `mixture.py` (what the model reads), `lm.py`
(how it is trained), `measure.py` (what it can do). `nano-recall/` and `nano-sudoku/` were made by commands of their
methods, which their cards name.
"""
