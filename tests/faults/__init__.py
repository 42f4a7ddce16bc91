"""Runs commands of resnetgen whose system calls fail, or which are killed, at a moment that is chosen."""
