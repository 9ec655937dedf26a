"""Images: FlowGMM with and without consistency compared with the labels alone, on the same draws."""
