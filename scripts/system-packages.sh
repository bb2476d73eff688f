#!/usr/bin/env bash
# Debian and Ubuntu: the libraries that Qt needs, a virtual screen for machines without one, and a judge of DICOM files.
# Does nothing where they are present, or where there is no apt-get (Windows, macOS, other Linux).
set -euo pipefail

packages=(
    xvfb xauth x11-utils
    libegl1 libgl1 libgl1-mesa-dri libglx-mesa0 libglib2.0-0 libdbus-1-3 libfontconfig1 libfreetype6
    libxkbcommon0 libxkbcommon-x11-0 libx11-xcb1 libxcb-cursor0 libxcb-icccm4 libxcb-image0 libxcb-keysyms1
    libxcb-randr0 libxcb-render-util0 libxcb-shape0 libxcb-shm0 libxcb-sync1 libxcb-xfixes0 libxcb-xkb1 libxcb-glx0
    dicom3tools
)

command -v apt-get >/dev/null || exit 0
# Some names carry a suffix on newer releases (libglib2.0-0t64): dpkg knows them by what they provide.
missing=()
for package in "${packages[@]}"; do
    dpkg-query -W -f='${Status} ${Provides}\n' "$package" "${package}t64" 2>/dev/null | grep -q 'install ok installed' \
        || missing+=("$package")
done
[ "${#missing[@]}" -eq 0 ] && exit 0

as_root=()
if [ "$(id -u)" -ne 0 ]; then
    if ! command -v sudo >/dev/null; then
        echo "The window needs these packages; ask an administrator to install them: ${missing[*]}" >&2
        exit 0
    fi
    as_root=(sudo)
fi
echo "Installing ${#missing[@]} system packages: ${missing[*]}"
"${as_root[@]}" apt-get update -qq
DEBIAN_FRONTEND=noninteractive "${as_root[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
