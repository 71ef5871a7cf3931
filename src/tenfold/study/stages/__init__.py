"""The stages of a study, one file a stage."""
