"""Exact recomputation of only what an edit of a sequence changes."""
