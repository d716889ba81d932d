#!/bin/sh
# powercut.sh DRIVER [CUTS]: cuts the power of an ext4 file system while checkpoints are being
# saved into it; every save that was reported as done must be there afterwards. Needs root and loop
# devices; exits 77 (skipped) without them.
set -u
driver=$1
cuts=${2:-100}
skip() {
  echo "SKIP: $1"
  exit 77
}
[ "$(id -u)" = 0 ] || skip "not root"
command -v mkfs.ext4 >/dev/null || skip "no mkfs.ext4"

work=$(mktemp -d) || exit 1
mounted=no
cleanup() {
  [ "$mounted" = no ] || umount "$work/disk" 2>/dev/null || umount -l "$work/disk"
  rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 1' INT TERM
mkdir "$work/disk"
truncate -s 64M "$work/image"
mkfs.ext4 -q "$work/image" || skip "mkfs.ext4 failed"
mount -o loop "$work/image" "$work/disk" 2>/dev/null || skip "no loop devices"
mounted=yes

cut=1
while [ "$cut" -le "$cuts" ]; do
  : >"$work/reported"
  "$driver" save "$work/disk/checkpoints" >"$work/reported" 2>"$work/stderr" &
  pid=$!
  # 20 to 419 ms; the random bytes differ from cut to cut.
  pause=$(od -An -N2 -tu2 /dev/urandom | tr -d ' ')
  sleep "$(printf '0.%03d' $((pause % 400 + 20)))"
  "$driver" cut "$work/disk" || skip "this kernel cannot cut the power of ext4"
  # The driver fails at its next write; what it reported before is what counts.
  wait "$pid"
  last=$(tail -n 1 "$work/reported")
  umount "$work/disk" && mounted=no && mount -o loop "$work/image" "$work/disk" || exit 1
  mounted=yes
  before=${newest:-0}
  "$driver" check "$work/disk/checkpoints" "${last:-$before}" >"$work/found" || {
    echo "FAILED at cut $cut: $(cat "$work/found" "$work/stderr")"
    exit 1
  }
  newest=${last:-$before}
  cut=$((cut + 1))
done
echo "$cuts power cuts, every reported checkpoint loads; last: $(cat "$work/found")"
