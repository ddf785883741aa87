"""What a run directory shows: plots for a paper, a page for the eye, curves for the terminal."""
