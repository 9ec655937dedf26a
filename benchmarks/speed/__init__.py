"""Time of a training step and a prediction, compared with other flow libraries and a floor."""
