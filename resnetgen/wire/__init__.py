"""Protobuf messages in files: fields, repeated numbers, and random access to the bytes."""
