"""Engines that run a built model. None of them is ours."""
