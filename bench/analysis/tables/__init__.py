"""Records and estimates -> data frames, one file for each kind of table. No torch."""
