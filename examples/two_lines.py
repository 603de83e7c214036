"""The library in two lines: what is in this image?

python two_lines.py parts.bundle photo.jpg
"""

import sys

import cv2

from edgetl_runtime import Classifier

classifier = Classifier.open(sys.argv[1])
print(classifier(cv2.imread(sys.argv[2])).top(3))
