"""The built-in data set: a closet of unique items, and users made up for a catalogue."""
