"""The output formats. A target translates the graph or refuses, with the node's place in the spec; nothing else."""
