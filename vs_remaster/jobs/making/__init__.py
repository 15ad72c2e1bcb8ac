"""Making the chunks of a film, in this process, in several, or on a cluster."""
