"""How a scheme is stated, checked and written."""
