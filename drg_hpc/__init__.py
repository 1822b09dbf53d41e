"""Containerised HPC batch commands for regulatory genomics."""
