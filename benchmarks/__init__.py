"""Speed and memory beside peers; nothing imports it."""
