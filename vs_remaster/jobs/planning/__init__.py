"""Planning a job: a survey of the film, its shots, its chunks, and the folder that keeps them."""
