"""EVM bytecode compiled to Python functions: same results as the interpreter's, to the unit of gas."""
