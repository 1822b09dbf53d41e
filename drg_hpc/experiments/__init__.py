"""Experiments on models: sequences with a known grammar, and tests of a model by perturbation alone."""
