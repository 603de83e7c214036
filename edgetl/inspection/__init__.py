"""What is in a data set: wrong, doubled and odd photos, and previews of augmentation."""
