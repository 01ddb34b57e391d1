"""Sweeps: grids of small models trained into a table of runs."""
