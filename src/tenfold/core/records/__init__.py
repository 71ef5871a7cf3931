"""What stages leave in the run folder for each other and for the report: one file a stage."""
