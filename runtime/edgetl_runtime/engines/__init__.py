"""The engines that run a model file, behind one protocol."""
