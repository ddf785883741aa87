"""Reading curves: numbers in, decisions out."""
