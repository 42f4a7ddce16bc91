"""A model in fewer bits than it was trained in, and how far it then is from what it was."""
