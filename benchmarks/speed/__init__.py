"""How long a training step and a prediction take, beside other flow libraries and a floor."""
