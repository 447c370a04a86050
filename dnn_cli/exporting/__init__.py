"""Write trained networks in the formats of other programs, and check each file with the program that will read it."""
