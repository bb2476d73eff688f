"""One file from the hub to the disk: asked for, resumed, compared with the hub's checksum. Never imports torch.

``huggingface_hub`` knows addresses, tokens, proxies and what the hub answers. Its own ``hf_hub_download`` is not used:
since 2.x it throws away what an interrupted download had fetched, and moves large files through hf_xet, which reads
from another server and cannot be stopped between blocks. The plain HTTP address serves every file, with ranges.
It is imported inside functions, so that listing models does not pay for it.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.request import getproxies

from cinema_core import __version__
from cinema_core.disk import disk_errors
from cinema_core.errors import CinemaError, DownloadError, StorageError
from cinema_core.progress import CancelToken
from cinema_core.published import HUB, REPOSITORY

OFFLINE: Final = "HF_HUB_OFFLINE is set, so nothing is downloaded. Unset it and run the same command again."
_PROXY_HINT: Final = "behind a proxy set HTTPS_PROXY=http://HOST:PORT"
_LIBRARY: Final = "napari-cinema"
_TRUE: Final = {"1", "ON", "YES", "TRUE"}
SHA256_DIGITS: Final = 64
_MARGIN_BYTES: Final = 32 * 2**20
"""Left free beside a download: a journal and a card must still find room."""


@dataclass(frozen=True)
class RemoteFile:
    """A file as the hub describes it before it is fetched."""

    path: str
    """In the repository."""
    url: str
    """Pinned to the commit."""
    commit: str
    checksum: str
    """SHA-256 for large files (64 hexadecimal digits), git's SHA-1 of the content for small ones (40)."""
    size: int | None
    """In bytes; None if the hub does not say."""


def hub_endpoint(endpoint: str | None = None) -> str:
    """Address of the hub: as given, else ``HF_ENDPOINT`` as it is now, else huggingface.co."""
    return (endpoint or os.environ.get("HF_ENDPOINT") or HUB).rstrip("/")


def is_offline() -> bool:
    """Whether ``HF_HUB_OFFLINE`` forbids to ask the hub."""
    # huggingface_hub reads it once, at import; here it counts as it is now.
    return os.environ.get("HF_HUB_OFFLINE", "").upper() in _TRUE


def ask(path: str, revision: str, endpoint: str) -> RemoteFile:
    """Size, checksum and commit of a file of the repository, by one request.

    Raises
    ------
    DownloadError
        If the hub cannot be reached, refuses, has no such file, or does not answer as a hub does.
    """
    with _hub_errors(path, endpoint):
        from huggingface_hub import get_hf_file_metadata, hf_hub_url

        _settle()
        found = get_hf_file_metadata(
            hf_hub_url(REPOSITORY, path, revision=revision, endpoint=endpoint),
            library_name=_LIBRARY,
            library_version=__version__,
        )
        if not found.commit_hash or not re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", found.etag or ""):
            raise DownloadError(
                f"{endpoint} does not answer as a Hugging Face hub: it gives no commit and checksum for {path}. "
                "Check HF_ENDPOINT, and whether a proxy or a log-in page of the network answers in its place."
            )
        url = hf_hub_url(REPOSITORY, path, revision=found.commit_hash, endpoint=endpoint)
        return RemoteFile(path, url, found.commit_hash, found.etag or "", found.size)


def fetch(
    remote: RemoteFile,
    folder: Path,
    endpoint: str,
    fetched: Callable[[int], None],
    cancel: CancelToken | None = None,
) -> Path:
    """Bring a file into ``folder``, going on where an earlier call stopped, and compare it with its checksum.

    Parameters
    ----------
    folder
        Keeps what was fetched when the download is interrupted or cancelled; named by checksum, so that a newer
        version on the hub never goes on from an older one.
    fetched
        Told how many bytes of this file are there.

    Raises
    ------
    DownloadError
        If the connection breaks without any progress, or what came is not what the hub promised; then it is removed.
    StorageError
        If there is no room, or no right to write.
    Cancelled
        If the reader stopped; what came is kept.
    """
    part = folder / f"{remote.checksum}.part"
    with disk_errors(f"{remote.path} could not be written to {folder}"):
        folder.mkdir(parents=True, exist_ok=True)
        if remote.size is None:
            part.unlink(missing_ok=True)  # without a size nobody can tell a part from the whole
        part.touch()
        _refuse_too_little_room(remote, part)
        with _hub_errors(remote.path, endpoint):
            _go_on_until_complete(remote, part, fetched, cancel)
        _verify(remote, part)
    return part


def _go_on_until_complete(
    remote: RemoteFile, part: Path, fetched: Callable[[int], None], cancel: CancelToken | None
) -> None:
    """Stream the rest of a file; a connection that broke is taken up again at once, as long as bytes arrive."""
    import httpx2

    _settle()
    while True:
        before = _size(part)
        if remote.size is not None and before >= remote.size:
            fetched(remote.size)
            return  # if there is more than there should be, the checksum will say so
        try:
            _stream(remote, part, fetched, cancel)
            if remote.size is None:
                return
        except (httpx2.NetworkError, httpx2.RemoteProtocolError, httpx2.ReadTimeout) as error:
            if _size(part) <= before:
                raise DownloadError(_broken(remote, before)) from error
        if _size(part) <= before:
            raise DownloadError(_broken(remote, before))


def _stream(remote: RemoteFile, part: Path, fetched: Callable[[int], None], cancel: CancelToken | None) -> None:
    """Append what is missing to ``part``; the server may also start anew."""
    from huggingface_hub import constants, get_session, hf_raise_for_status
    from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]  # exported lazily

    # Compressed, the bytes could neither be counted nor resumed.
    headers = build_hf_headers(
        library_name=_LIBRARY, library_version=__version__, headers={"Accept-Encoding": "identity"}
    )
    have = _size(part)
    if have:
        headers["Range"] = f"bytes={have}-"
    request = get_session().stream(
        "GET", remote.url, headers=headers, timeout=constants.HF_HUB_DOWNLOAD_TIMEOUT, follow_redirects=True
    )
    with request as response:
        hf_raise_for_status(response)
        goes_on = response.status_code == 206
        have = have if goes_on else 0
        with part.open("ab" if goes_on else "wb") as file:
            for block in response.iter_bytes():
                if cancel is not None:
                    cancel.raise_if_cancelled()
                file.write(block)
                have += len(block)
                fetched(have)
            file.flush()
            os.fsync(file.fileno())


def _verify(remote: RemoteFile, part: Path) -> None:
    size = _size(part)
    found = _sha256(part) if len(remote.checksum) == SHA256_DIGITS else git_sha1(part)
    if found == remote.checksum and remote.size in (None, size):
        return
    part.unlink(missing_ok=True)
    raise DownloadError(
        f"{remote.path} was damaged or changed on its way: checksum {found[:8]}, {size} bytes; the hub promised "
        f"{remote.checksum[:8]}, {remote.size} bytes. It was removed. Run the same command again; if it repeats, "
        "a proxy or scanner of the network changes what it lets through."
    )


def git_sha1(path: Path) -> str:
    """Hash that git gives a file: of ``blob``, its length, and its content."""
    digest = hashlib.sha1(f"blob {path.stat().st_size}\0".encode(), usedforsecurity=False)
    with path.open("rb") as file:
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _refuse_too_little_room(remote: RemoteFile, part: Path) -> None:
    needed = (remote.size or 0) - _size(part)
    free = shutil.disk_usage(part.parent).free
    if needed > 0 and needed + _MARGIN_BYTES > free:
        raise StorageError(
            f"There is no room for {remote.path} in {part.parent}: {needed / 1e6:.0f} MB are still to come, "
            f"{free / 1e6:.0f} MB are free. Make room and run the same command again."
        )


@contextmanager
def _hub_errors(path: str, endpoint: str) -> Iterator[None]:
    """Say in one line what went wrong between here and the hub, and what to do.

    Raises
    ------
    DownloadError
        In place of every error of ``huggingface_hub`` and of the connection below it.
    """
    import httpx2
    from huggingface_hub.errors import FileMetadataError, HfHubHTTPError, OfflineModeIsEnabled

    try:
        yield
    except CinemaError:
        raise
    except OfflineModeIsEnabled:
        raise DownloadError(OFFLINE) from None
    except HfHubHTTPError as error:
        raise DownloadError(_refused(error.response.status_code, path, endpoint)) from error
    except httpx2.ProxyError as error:
        raise DownloadError(_proxy(error)) from error
    except httpx2.TimeoutException as error:
        raise DownloadError(
            f"{endpoint} did not answer in time. Check the network and run the same command again; on a slow line set "
            "HF_HUB_DOWNLOAD_TIMEOUT and HF_HUB_ETAG_TIMEOUT to more seconds (now 10 each unless set)."
        ) from error
    except (httpx2.UnsupportedProtocol, httpx2.InvalidURL) as error:
        raise DownloadError(
            f"{endpoint!r} is no address of a hub ({error}). Set HF_ENDPOINT right, or unset it."
        ) from error
    except (httpx2.HTTPError, FileMetadataError) as error:
        raise DownloadError(_unreachable(error, endpoint)) from error


def _broken(remote: RemoteFile, n_bytes: int) -> str:
    size = "" if remote.size is None else f" of {remote.size / 1e6:.1f}"
    return (
        f"The connection broke after {n_bytes / 1e6:.1f}{size} MB of {remote.path}. Check the network and run the same "
        "command again: it goes on from there."
    )


def _refused(status: int, path: str, endpoint: str) -> str:
    where = f"{path} of {REPOSITORY} at {endpoint}"
    if status in (401, 403):
        return (
            f"The hub refuses access to {where} (HTTP {status}). The models are public: if HF_TOKEN is set, it may be "
            "expired, so unset it; else ask whether the network filters this address."
        )
    if status == 404:
        return f"There is no {where} (HTTP 404). Check --revision and HF_ENDPOINT, or install a newer napari-cinema."
    if status == 407:
        return _proxy("it asks for a user and a password")
    if status == 429:
        return f"The hub has had too many requests from here (HTTP 429, {where}). Wait some minutes and try again."
    if status >= 500:
        return f"The hub is in trouble (HTTP {status}, {where}). Try again later; what has come so far is kept."
    return f"The hub answered HTTP {status} for {where}. Try again, or install a newer napari-cinema."


def _proxy(reason: object) -> str:
    return (
        f"The proxy cannot be used: {reason}. Set HTTPS_PROXY=http://USER:PASSWORD@HOST:PORT as your IT department "
        "gives it, or unset it where there is none."
    )


def _unreachable(error: Exception, endpoint: str) -> str:
    if "CERTIFICATE_VERIFY_FAILED" in str(error):
        return (
            f"{endpoint} shows a certificate that this computer does not trust, as where a proxy reads along. "
            "Set SSL_CERT_FILE to the certificates (.pem) of your IT department."
        )
    # The environment's, or on Windows and macOS the system's.
    has_proxy = getproxies().keys() - {"no"}
    proxy = "check the proxy too, which HTTPS_PROXY or the system names" if has_proxy else _PROXY_HINT
    return (
        f"{endpoint} cannot be reached ({type(error).__name__}: {error}). Check the network; {proxy}. "
        "Then run the same command again."
    )


def _settle() -> None:
    """Make the library ready, and quiet: no telemetry (it would name what else is installed), no lines beside ours.

    Raises
    ------
    DownloadError
        If the proxy settings cannot be used.
    """
    import httpx2
    from huggingface_hub import constants, get_session
    from huggingface_hub.utils import logging

    # Read from the environment once, when the library was imported, which may have been long before.
    constants.HF_HUB_DISABLE_TELEMETRY = True
    logging.set_verbosity_error()
    try:
        get_session()
    except (ValueError, ImportError, httpx2.InvalidURL) as error:  # an unknown kind, or one that needs a package
        raise DownloadError(_proxy(error)) from error
