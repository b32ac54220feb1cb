"""What `lit-video index` prints: what an index holds, what is wrong with its files, and if it is true."""

from __future__ import annotations

from collections import Counter

import numpy as np
from rich.progress import track
from rich.table import Table
from rich.text import Text

from lit_video.checks.verify import Verification, verify
from lit_video.index import VideoIndex
from lit_video.index.damage import FLAGGED
from lit_video.media.remote import is_remote
from lit_video.support.screen import screen

NOT_DECODED = "damaged, and not decoded"


def print_index(index: VideoIndex) -> None:
    """Print what the index holds."""
    print(f"{index.num_videos} videos, {index.num_frames} frames, {len(index.keyframes) - 1} GOPs; {_how_made(index)}")
    if index.fetched.requests:
        sizes = zip(index.paths, index.columns.size_bytes.tolist(), strict=True)
        of = sum(size for path, size in sizes if is_remote(path)) / 1e6
        fetched, requests = index.fetched.num_bytes / 1e6, index.fetched.requests
        print(f"fetched from afar: {fetched:.1f} of {of:.1f} MB in {requests} requests")
    console = screen(highlight=False)
    for name, number in index.num_hdr.items():
        if number:
            print(f"{number} of them {'is' if number == 1 else 'are'} HDR ({name.upper()})")
    for skipped in index.skipped:
        console.print(f"skipped {skipped.path}: {skipped.reason}", soft_wrap=True)
    for line in damage_lines(index):
        console.print(line, soft_wrap=True)


def _how_made(index: VideoIndex) -> str:
    """Return what was made and what was reused; how quickly is told of what was made alone."""
    files = f"{index.num_videos} files, {index.num_cached} reused"
    num_new, seconds = index.num_videos - index.num_cached, max(index.seconds, 1e-9)
    if not num_new:
        return files
    rate = f"{num_new / seconds:.0f} files/s"
    if not index.num_cached:
        rate = f"{index.num_frames / seconds:.0f} frames/s, {rate}"
    made = Counter(index.made(video_id) for video_id in range(index.num_videos))
    tables = f"{made['table']} from their tables, " if made["table"] else ""
    told = f"{made['exact'] + made['tried']} from packets, {tables}{made['decoded']} decoded once"
    return f"{files}, {told}, in {index.seconds:.2f} s ({rate})"


def damage_lines(index: VideoIndex) -> list[str]:
    """Return a line for each video that is damaged, or that falls short of its header."""
    lines = []
    left_out = np.diff(index.columns.left_out_offset)
    for video_id in sorted(index.damaged_videos.keys() | set(np.flatnonzero(left_out).tolist())):
        # Packets that were not decoded have no frame in the index.
        none, path = int(left_out[video_id]), index.path(video_id)
        damaged, frames = index.num_damaged(video_id) + none, int(index.lengths[video_id]) + none
        reasons = Counter({NOT_DECODED: none} if none else {})
        for run in index.damage(video_id):
            reasons[run.why] += run.last - run.first + 1
        told = "; ".join(f"{why} ({count})" for why, count in reasons.most_common())
        lines.append(f"{path}: {damaged} of {frames} frames damaged: {told}")
        if damaged == frames and set(reasons) == {FLAGGED}:
            lines.append(f"{path}: no reference is missing; data.decoder.trust_flags=false delivers what is decoded")
    for video_id, expected in index.short_files:
        path, frames = index.path(video_id), int(index.lengths[video_id])
        lines.append(f"{path}: {frames} frames, and its header promises {expected}: the rest cannot be read")
    return lines


def verify_all(index: VideoIndex) -> bool:
    """Check every video, print a table, and tell whether all are as the index says."""
    found = [verify(index, v) for v in track(range(index.num_videos), "Verifying", transient=True)]
    table = Table(title="Random access against sequential decode", title_justify="left")
    for name in ("video", "codec", "size", "made", "frames", "GOPs", "result"):
        table.add_column(name, overflow="fold")  # of a long path the end is what matters
    for video_id, one in enumerate(found):
        columns = index.columns
        size = f"{columns.width[video_id]}x{columns.height[video_id]}"
        gops = str(len(index.starts(video_id)))
        table.add_row(one.path, index.codec(video_id), size, one.made, str(one.frames), gops, _result(one))
    console = screen()
    (console if console.is_terminal else screen(width=160)).print(table)
    good = sum(one.ok for one in found)
    print(f"{good} of {len(found)} videos are as their index says.")
    return good == len(found)


def _result(one: Verification) -> Text:
    if one.ok:
        damaged = f", {len(one.damaged)} damaged" if one.damaged else ""
        return Text(f"exact{damaged}", "green")
    parts = []
    if one.frames != one.true_frames:
        parts.append(f"{one.true_frames} frames in truth")
    for name, frames in (("wrong", one.wrong), ("missing", one.missing)):
        if frames:
            parts.append(f"{len(frames)} {name}, first {frames[0]}")
    return Text("; ".join(parts), "red")
