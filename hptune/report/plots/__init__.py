"""The plots, one function a plot: `plot_…(what was found, axes)`."""
