"""Seqlets, motifs and their names."""
