"""What training and measuring are made from: clips of any videos, moving clips of photographs, crops of both."""

from export.material.clips import Clip, cached_pack, decode_clip, load_clips
from export.material.crops import sample_crops
from export.material.photos import load_photos, photo_clip

__all__ = ["Clip", "cached_pack", "decode_clip", "load_clips", "load_photos", "photo_clip", "sample_crops"]
