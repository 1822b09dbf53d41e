"""Fan-out commands plugged into runs: light *_plan and heavy *_work modules."""
