"""Images in memory: the data set, its splits, augmentation and batches."""
