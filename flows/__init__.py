"""When things run: the pipeline, its Prefect flows, the command line. Nothing imports `flows`."""
