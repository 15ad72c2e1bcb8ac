"""How good a picture or a clip is: distances to the truth, steadiness in time, naturalness."""
