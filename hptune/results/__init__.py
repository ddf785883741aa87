"""What a run leaves behind: records, the run directory, the tables."""
