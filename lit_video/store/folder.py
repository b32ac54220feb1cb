"""Where a store lies, and whether it may: LMDB shares memory between processes, which network file systems do not."""

from __future__ import annotations

import os
import re
from pathlib import Path

import platformdirs

from lit_video.support.errors import StoreError

MOUNTS = Path("/proc/mounts")
OVER_A_NETWORK = frozenset({
    "9p", "afs", "beegfs", "ceph", "cifs", "glusterfs", "gpfs", "lustre", "ncpfs", "nfs", "nfs4", "orangefs", "pvfs2",
    "smb", "smb2", "smb3", "smbfs",
})  # fmt: skip


def store_folder(choice: str | Path) -> Path:
    """Return the folder that `data.store` names; `auto` is one in the user's cache, for all data sets together."""
    if str(choice) == "auto":
        return platformdirs.user_cache_path("lit_video") / "store"
    return Path(choice).expanduser().absolute()


def check_local(folder: Path) -> None:
    """Refuse a folder on a file system that processes of several machines may see.

    Raises:
        StoreError: It is.
    """
    kind = file_system(folder)
    if kind in OVER_A_NETWORK or kind.startswith("fuse."):
        raise StoreError(
            f"{folder}: a store cannot lie on a network file system ({kind}).\n"
            "Name a folder on a local disk: data.store=FOLDER"
        )


def file_system(path: Path) -> str:
    """Return the kind of the file system that a path is on or would be, as the kernel calls it; empty: unknown."""
    try:
        lines = MOUNTS.read_text(errors="surrogateescape").splitlines()
    except OSError:  # not Linux
        return ""
    where = Path(os.path.realpath(path))
    found, kind = -1, ""
    for line in lines:
        _, mounted, its_kind, *_ = line.split(" ")
        root = Path(re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), mounted))
        if where.is_relative_to(root) and len(root.parts) >= found:  # the last of those mounted at one place is seen
            found, kind = len(root.parts), its_kind
    return kind
