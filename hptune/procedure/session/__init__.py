"""The whole procedure over an experiment and a run directory, stage by stage or in one go."""
