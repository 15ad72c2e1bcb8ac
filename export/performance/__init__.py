"""Time, memory and disk: of the networks at work, of the filters, of jobs, and of a whole archive."""
