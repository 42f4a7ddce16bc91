"""The typed graph between the table and the formats. It knows neither YAML nor any output format."""
