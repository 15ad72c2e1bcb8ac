"""Training, validation, export and measuring of the networks; runs from the checkout."""
