"""What an exported model takes along to be served without this repository."""
