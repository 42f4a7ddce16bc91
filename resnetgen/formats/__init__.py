"""Output formats. A target translates the graph, or refuses it with the node's place in the spec."""
