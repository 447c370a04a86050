"""Networks and their training: the parts that both engines share."""
