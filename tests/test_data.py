"""Clips from videos and photographs, and the crops drawn from them."""

from __future__ import annotations

from pathlib import Path

import av
import cv2
import numpy as np
import pytest
import torch

from export.material import Clip, cached_pack, load_clips, load_photos, photo_clip, sample_crops
from export.material.scenery import add_captions, add_details, add_lines
from vs_remaster.errors import InputError


def _seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _write_video(path: Path, gray: list[int], height: int = 96, width: int = 128, color_range: int = 1) -> None:
    """A lossless video of flat frames whose full-range luma is `gray`."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.color_range = color_range
        for value in gray:
            code = round(value * 219 / 255 + 16) if color_range == 1 else value
            planes = np.full((height * 3 // 2, width), 128, np.uint8)
            planes[:height] = code
            frame = av.VideoFrame.from_ndarray(planes, format="yuv420p")
            frame.color_range = color_range
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


@pytest.fixture()
def videos(tmp_path: Path) -> Path:
    folder = tmp_path / "videos"
    (folder / "inner").mkdir(parents=True)
    _write_video(folder / "b.mkv", [0, 100, 255])
    _write_video(folder / "a.mkv", [10, 20, 30, 40, 50], height=60, width=80)
    _write_video(folder / "inner" / "full.mkv", [7, 200], color_range=2)
    return folder


def test_luma_is_full_range_in_order_of_names(videos: Path) -> None:
    clips = load_clips(videos, short_edge=48)
    assert [c.name for c in clips] == ["a", "b", "full"]
    assert clips[1].frames.shape == (3, 48, 64)
    assert clips[1].frames.dtype == torch.uint8
    for clip, expected in zip(clips, ([10, 20, 30, 40, 50], [0, 100, 255], [7, 200]), strict=True):
        means = clip.frames.float().mean(dim=(1, 2))
        assert torch.allclose(means, torch.tensor(expected).float(), atol=0.6), clip.name


def test_nothing_is_enlarged_and_frames_can_be_limited(videos: Path) -> None:
    clips = load_clips(videos, short_edge=90, limit_frames=2)
    assert [tuple(c.frames.shape) for c in clips] == [(2, 60, 80), (2, 90, 120), (2, 90, 120)]
    several = load_clips(videos, short_edge=(40, 60, 90))
    assert [c.frames.shape[1] for c in several] == [40, 60, 60], "the largest that shrinks by 1.3 or more"


def test_color_clips_are_rgb(videos: Path) -> None:
    clip = load_clips(videos, short_edge=48, color=True)[1]
    assert clip.frames.shape == (3, 3, 48, 64)
    assert (clip.frames[1].float() - 100).abs().max() <= 2


def test_pack_equals_loading_and_is_made_once(videos: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    loaded = load_clips(videos, short_edge=48)
    for _ in range(2):
        packed = cached_pack(videos, cache, short_edge=48)
        for a, b in zip(packed, loaded, strict=True):
            assert a.name == b.name
            assert torch.equal(a.frames, b.frames)
        assert len(list(cache.iterdir())) == 2
    packed[0].frames[:] = 0  # a private copy: the file must not change
    assert torch.equal(cached_pack(videos, cache, short_edge=48)[0].frames, loaded[0].frames)
    _write_video(videos / "c.mkv", [1, 2])
    assert len(cached_pack(videos, cache, short_edge=48)) == 4


def test_bad_folders_and_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nowhere"):
        load_clips(tmp_path / "nowhere")
    with pytest.raises(InputError, match="nothing to read"):
        load_clips(tmp_path)
    (tmp_path / "broken.mp4").write_bytes(b"not a video")
    with pytest.raises(InputError, match=r"broken\.mp4"):
        load_clips(tmp_path)


def test_photos_as_luma_and_rgb(tmp_path: Path) -> None:
    bgr = np.zeros((160, 200, 3), np.uint8)
    bgr[..., 2] = 255  # red
    cv2.imwrite(str(tmp_path / "red.png"), bgr)
    cv2.imwrite(str(tmp_path / "small.png"), bgr[:50, :50])
    luma = load_photos(tmp_path, short_edge=80, minimum=100)
    assert len(luma) == 1
    assert luma[0].shape == (80, 100)
    assert int(luma[0][0, 0]) == round(0.2126 * 255)
    rgb = load_photos(tmp_path, color=True, minimum=100)[0]
    assert rgb[:, 0, 0].tolist() == [255, 0, 0]


def test_photo_clip_moves_smoothly() -> None:
    photo = torch.from_numpy(cv2.GaussianBlur(np.random.RandomState(0).randint(0, 256, (240, 300)).astype(np.uint8),
                                              (0, 0), 4))  # fmt: skip
    clip = photo_clip(photo, 9, (64, 96), _seeded(1), occluder=0.0)
    assert clip.shape == (9, 1, 64, 96)
    assert 0 <= float(clip.min()) <= float(clip.max()) <= 1
    steps = (clip[1:] - clip[:-1]).abs().mean(dim=(1, 2, 3))
    assert float(steps.min()) > 1e-3, "it moves"
    assert float(steps.max()) < 3 * float(steps.min()), "and does not jump"
    assert torch.equal(clip, photo_clip(photo, 9, (64, 96), _seeded(1), occluder=0.0))
    color = photo_clip(photo.expand(3, -1, -1), 3, 48, _seeded(1), occluder=1.0)
    assert color.shape == (3, 3, 48, 48)


def test_crops_come_from_the_clips() -> None:
    ramp = torch.arange(20, dtype=torch.uint8)[:, None, None].expand(20, 80, 100).contiguous()
    crops = sample_crops([Clip("ramp", ramp)], [], 24, 5, 32, _seeded(2), photo_probability=0.0)
    assert crops.shape == (24, 5, 1, 32, 32)
    assert crops.dtype == torch.float32
    assert float((crops - crops[..., :1, :1]).abs().max()) < 1e-6, "flat frames stay flat"
    steps = torch.diff(crops[:, :, 0, 0, 0] * 255, dim=1).round()
    assert bool((steps == steps[:, :1]).all()), "frames of a crop are evenly apart"
    assert set(steps[:, 0].tolist()) == {-2.0, -1.0, 1.0, 2.0}, "forward and backward, stride 1 and 2"


def test_crops_of_short_and_small_clips_and_photos() -> None:
    short = Clip("short", torch.randint(0, 256, (2, 3, 40, 60), dtype=torch.uint8, generator=_seeded()))
    photo = torch.randint(0, 256, (3, 150, 150), dtype=torch.uint8, generator=_seeded())
    crops = sample_crops([short], [photo], 6, 7, 48, _seeded(3), photo_probability=0.5)
    assert crops.shape == (6, 7, 3, 48, 48)
    assert not bool(crops.isnan().any())
    again = sample_crops([short], [photo], 6, 7, 48, _seeded(3), photo_probability=0.5)
    assert torch.equal(crops, again)


def test_lines_of_the_scene_are_steady_and_belong_to_some_clips_only():
    clips = torch.full((40, 5, 1, 48, 64), 0.5)
    made = add_lines(clips, torch.Generator().manual_seed(4), share=0.5)
    touched = (made != 0.5).flatten(1).any(1)
    assert 10 <= int(touched.sum()) <= 30
    assert made.min() >= 0 and made.max() <= 1
    still = (made[:, 1:] == made[:, :1]).flatten(1).all(1) & touched
    assert still.any() and (~still & touched).any()
    assert torch.equal(add_lines(clips, torch.Generator().manual_seed(4), share=0.0), clips)


def test_details_of_the_scene_last_and_belong_to_some_clips_only():
    clips = torch.full((40, 6, 1, 48, 64), 0.5)
    made = add_details(clips, _seeded(4), share=0.5)
    assert torch.equal(made, add_details(clips, _seeded(4), share=0.5))
    assert made.min() >= 0 and made.max() <= 1
    seen = (made - 0.5).abs().flatten(2).amax(2) > 0.1
    touched = seen.any(1)
    assert 8 <= int(touched.sum()) <= 30
    assert bool((seen[touched].sum(1) >= 2).all()), "no detail of the scene is there for one frame only"
    assert (made < 0.4).any() and (made > 0.6).any()
    assert torch.equal(add_details(clips, _seeded(4), share=0.0), clips)


def test_captions_stand_still_over_some_clips_only():
    clips = torch.full((40, 6, 1, 48, 64), 0.5)
    made = add_captions(clips, _seeded(4), share=0.5)
    assert torch.equal(made, add_captions(clips, _seeded(4), share=0.5))
    assert made.min() >= 0 and made.max() <= 1
    touched = (made != 0.5).flatten(1).any(1)
    assert 8 <= int(touched.sum()) <= 30
    for clip in made[touched]:
        shown = clip[(clip != 0.5).flatten(1).any(1)]
        assert torch.equal(shown, shown[:1].expand_as(shown)), "what is shown does not move"
    assert (made < 0.4).any() and (made > 0.6).any()
    assert torch.equal(add_captions(clips, _seeded(4), share=0.0), clips)


def test_a_shaken_camera_jumps_within_the_picture():
    y, x = torch.meshgrid(torch.arange(90), torch.arange(120), indexing="ij")
    still = Clip("still", (y + x).to(torch.uint8).expand(20, 90, 120).contiguous())
    steady, shaken = (
        sample_crops([still], [], 12, 7, 48, _seeded(5), photo_probability=0.0, scale=(1.0, 1.0), shake=share)
        for share in (0.0, 1.0)
    )
    assert torch.equal(steady[:, :1].expand_as(steady), steady)
    assert (shaken.diff(dim=1).abs().amax((1, 2, 3, 4)) > 0).sum() >= 9
    reach = 255 * (shaken.amax((2, 3, 4)) - shaken.amin((2, 3, 4)))
    assert torch.equal(reach.round(), torch.full_like(reach, 94)), "whole pictures, nothing beyond the frame"
