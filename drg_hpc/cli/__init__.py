"""Command lines; the only room that prints."""
