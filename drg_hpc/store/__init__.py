"""zarr stores: genomes and datasets; the only room that imports zarr."""
