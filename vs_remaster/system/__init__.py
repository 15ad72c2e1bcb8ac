"""Files, folders, processes, threads and texts: what the operating system gives."""
