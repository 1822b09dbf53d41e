"""Who calls work: one module per launcher."""
