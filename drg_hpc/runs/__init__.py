"""The fan-out protocol: plan, work, status, merge, clean."""
