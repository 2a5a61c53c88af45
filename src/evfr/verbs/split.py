"""`evfr split`: which labelled frames are learnt from and which are judged on, without leaks between the two."""

from evfr.verbs._split_value import Split, read_split

__all__ = ["Split", "read_split"]
