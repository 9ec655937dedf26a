"""Images: FlowGMM with and without consistency beside the labels alone, on the same draws."""
