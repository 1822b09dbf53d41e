"""Predictions and their evaluation."""
