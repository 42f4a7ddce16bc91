"""Caffe target: prototxt and caffemodel."""
