"""Caffe files as they stand: text, messages, and the structure of any net. Weights are read through it."""
