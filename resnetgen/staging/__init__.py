"""Output files that appear complete or not at all, their staging folders, and the locks between builds."""
