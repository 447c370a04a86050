"""Networks and how they are trained: what both engines share."""
