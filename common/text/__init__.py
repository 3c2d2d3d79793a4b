"""What a text says: its words, and the numbers a network reads of them."""
