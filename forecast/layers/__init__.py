"""Bodies of the networks: what turns a sequence of inputs into hidden states."""
