"""A report on what was made of a film: facts collected in one pass (`facts`), a page that shows them (`page`)."""
