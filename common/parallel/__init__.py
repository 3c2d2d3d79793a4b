"""What a step runs on: devices, processes, precision, random streams."""
