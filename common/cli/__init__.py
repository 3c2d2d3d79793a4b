"""The command line of every system: from flags to a mode, and how a program starts."""
