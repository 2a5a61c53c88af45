"""Fuzzing: what is read, from which seeds, how it is damaged; `scripts/fuzz.py` runs it, found/ keeps what it found."""
