"""The Caffe format: prototxt and caffemodel."""
