"""Engines that run a built model. All of them are independent of resnetgen."""
