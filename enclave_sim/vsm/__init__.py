"""Evidence of VBS enclaves (virtual secure mode) and a simulated host guardian."""
