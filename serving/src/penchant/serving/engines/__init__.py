"""TensorRT engines: building, checking and refitting plans of a package's net."""
