"""Inspection of a data set: wrong, duplicate and odd photos; previews of augmentation."""
