"""HDF5 layouts of results; the only room that writes HDF5."""
