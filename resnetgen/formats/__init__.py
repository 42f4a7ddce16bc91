"""Output formats. A format translates the graph, or refuses it with the node's place in the spec."""
