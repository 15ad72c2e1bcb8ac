"""Networks beside simple methods and other programs: what is compared on what, how it is scored, what is kept."""
