"""Prove what reduced data is worth: the papers' protocols as grids, resumable runs, tables and verdicts."""
