"""What the networks learn and the heads see beside the photo's features."""
