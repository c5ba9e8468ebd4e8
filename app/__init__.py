"""panager: the small task manager that the pipeline delivers; knows nothing of it."""
