"""From a folder of photos to a camera that names what it sees.

The commands (`edgetl --help`) are thin; each calls one function of this package. Importing it
imports nothing heavy: TensorFlow comes with the first function that needs it.
"""

__version__ = "0.1.0"
__all__ = ["__version__"]
