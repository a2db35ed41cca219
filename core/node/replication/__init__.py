"""A node among several: consensus, catching up, joining, and what nodes pass on to one another."""
