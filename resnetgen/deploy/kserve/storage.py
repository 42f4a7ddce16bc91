"""URIs from which KServe can fetch a model repository."""

from __future__ import annotations

import re
from mimetypes import MimeTypes
from urllib.parse import SplitResult, urlsplit

from resnetgen.errors import Code, UsageError

_STORAGE = re.compile(r"(gs|s3|pvc|hdfs|webhdfs|oci|hf|https|http)://[!-.0-~][!-~]*")
"""KServe's SupportedStorageURIPrefixList without file://: a cluster does not share this machine's files."""
_AZURE = re.compile(
    r"[^/]+\.(blob\.core\.windows\.net|file\.core\.windows\.net|z[0-9]{1,2}\.(blob|file)\.storage\.azure\.net)"
)
"""Hosts of Azure's storage, from which KServe fetches folders."""
_ARCHIVES = {
    "application/zip": (None,),
    "application/x-tar": (None, "gzip", "bzip2", "xz"),
}
"""Types that KServe unpacks after a download over HTTP, with the compressions that it reads."""


def require_storage_uri(text: str) -> str:
    """Return the URI. Raises UsageError if KServe cannot fetch from it, or would fetch a single file.

    The rules are those of KServe's storage initializer, python/storage/kserve_storage/kserve_storage.py in
    kserve/kserve (aaac4e2): over HTTP it clones a Git repository, or fetches one file, and unpacks an archive.
    """
    try:
        url = urlsplit(text) if _STORAGE.fullmatch(text) else None
    except ValueError:  # brackets without an address
        url = None
    if url is None:
        message = f"KServe cannot fetch a repository from {text!r}"
        hint = "--storage-uri s3://bucket/folder, gs://bucket/folder or pvc://claim/folder, without spaces"
        raise UsageError.of(Code.BAD_ARGUMENT, message, hint=hint)
    if not _gives_folder(url):
        message = f"KServe would fetch a single file from {text!r}, but a model repository is a folder"
        hint = (
            "the repository's folder, such as s3://bucket/folder, or an archive of it: https://host/repository.tar.gz"
        )
        raise UsageError.of(Code.BAD_ARGUMENT, message, hint=hint)
    return text


def _gives_folder(url: SplitResult) -> bool:
    if url.path.lower().endswith(".onnx"):
        return False
    if url.scheme not in ("http", "https"):
        return True
    if url.scheme == "https" and (url.path.endswith(".git") or _AZURE.fullmatch(url.netloc.lower())):
        return len(url.path) > 1
    return _is_archive(url)


def _is_archive(url: SplitResult) -> bool:
    """Return True for an archive, by KServe's own rule: it looks at the query if the path's ending is unknown."""
    guess = MimeTypes().guess_type  # without types registered on this machine
    kind, compression = guess(url.path)
    if kind is None and url.query:
        kind, compression = guess(url.query)
    is_named = not url.path.endswith("/") and url.path != ""
    return is_named and kind is not None and compression in _ARCHIVES.get(kind, ())
