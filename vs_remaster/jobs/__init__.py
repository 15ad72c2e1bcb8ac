"""Film-length work: a folder that holds the plan and the finished chunks, so that nothing done is done twice."""
