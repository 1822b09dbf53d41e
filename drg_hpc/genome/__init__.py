"""Genome files and sequence encodings."""
