"""What a GPU changes: the same answers, how many steps a second, how busy the card is."""
