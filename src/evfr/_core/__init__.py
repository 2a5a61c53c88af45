"""What every family stands on: plain values, lazy imports, randomness, the store, signatures to options.

Nothing here knows about video files, samplers or reports. Modules: ``types`` (frozen values shared by
families), ``selection`` (the table that `evfr select` makes), ``store`` (Parquet files by key), ``lazy``
(optional imports with an install line), ``rng`` (seed to generator), ``signature`` (function to CLI options).
"""
