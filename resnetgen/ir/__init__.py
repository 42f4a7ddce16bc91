"""The typed graph between the table and the formats. It depends on neither YAML nor any output format."""
