"""The verifier of evidence, real and simulated: one verdict, one exception class per reason."""
