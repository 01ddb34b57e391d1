"""Ten research methods that fit onto the Hugging Face models people already have.

Each method is a folder under `tenon.methods`; `tenon --help` lists them, `tenon tour` shows them all.
"""

from __future__ import annotations

__all__ = ["__version__"]

__version__ = "0.1.0"
