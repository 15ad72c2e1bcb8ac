"""Commands that help and messages show."""

PIPE_EXAMPLE = "ffmpeg -i FILE -f yuv4mpegpipe -strict -1 - | vs-remaster pipe --references DIR | ffmpeg -i - NEW.mkv"
