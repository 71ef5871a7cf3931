"""Sources: one file for each kind of data set that tenfold reads."""
