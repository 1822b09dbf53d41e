"""Sequence-to-function models and their files."""
