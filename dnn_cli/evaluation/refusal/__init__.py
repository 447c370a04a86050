"""Tell pictures that show no digit: made-up pictures of other things, and a network that learns the difference."""
