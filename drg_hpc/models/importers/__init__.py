"""Published and foreign models, made into MODEL folders."""
