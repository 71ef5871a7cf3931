"""Facts that the report states, a file for each part of the study."""
