#!/bin/bash
# shellcheck disable=SC2054  # qemu's arguments have commas
# Run a command inside a throw-away VM that has a real Linux mac80211 stack with
# simulated radios (mac80211_hwsim), hostapd, wpa_supplicant, iw and tcpdump.
#
#   run.sh [--] COMMAND [ARG...]      run COMMAND in the guest, exit with its status
#   run.sh <SCRIPT                    run a shell script in the guest
#   run.sh                            an interactive root shell in the guest (from a terminal)
#   run.sh --check                    exit 0 if the rig can run here, 77 and the reason if not; as root it installs what is missing
#
# This folder is /rig in the guest (read only): lab.sh has helpers for access points, monitors, scans and signal levels,
# inject.py sends probe requests, capture.py records, demo.sh shows all of it, scenarios.py is what `make test-radio` runs.
#
# The guest's standard output and error come out on this script's standard output;
# the kernel's console goes to $HWSIM_CACHE/run.PID/console.log (kept on failure).
#
#   HWSIM_SHARE    host folder seen read/write at /host in the guest   (default: the checkout)
#   HWSIM_CACHE    where kernel, root image and run files live         (default: the user's cache folder)
#   HWSIM_RADIOS   simulated radios: phy0.., wlan0..                   (default: 4)
#   HWSIM_MODARGS  more arguments for mac80211_hwsim, e.g. channels=2
#   HWSIM_PKGS     more Debian packages in the root image (each set is its own image)
#   HWSIM_MEM      guest memory, MiB (512)      HWSIM_SMP  guest cores (1)
#   HWSIM_TIMEOUT  seconds until the guest is killed (600)
#   HWSIM_ACCEL    kvm | tcg | auto (auto: kvm where it really works)
#   HWSIM_FORWARD  host loopback TCP ports the guest reaches at 10.0.2.100:PORT,
#                  e.g. "8080 9092"; nothing else is reachable from the guest
#   HWSIM_REBUILD  1: build the image anew
#
# One guest runs at a time: a second run.sh of the same cache waits, because two would halve each other's air.
set -euo pipefail

RIG=$(dirname "$(realpath "$0")")
CACHE=${HWSIM_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/ivizone-rig}
SHARE=$(realpath "${HWSIM_SHARE:-$RIG/../../..}")
RADIOS=${HWSIM_RADIOS:-4}
MIRROR=${HWSIM_MIRROR:-$(apt-get indextargets --format '$(REPO_URI)' 2>/dev/null | grep -v security | sort -u | head -n 1)}
SUITE=${HWSIM_SUITE:-bookworm}
PKGS="hostapd wpasupplicant iw tcpdump python3 busybox-static iproute2 kmod
      wireless-regdb procps ethtool python3-yaml python3-cffi-backend
      ${HWSIM_PKGS:-}"
[ "${1:-}" = -- ] && shift
say() { echo "hwsim: $*" >&2; }

# ---- what the host needs ---------------------------------------------------------
need=()
command -v qemu-system-x86_64 >/dev/null || need+=(qemu-system-x86)
command -v debootstrap        >/dev/null || need+=(debootstrap)
command -v cpio               >/dev/null || need+=(cpio)
[ -x /sbin/depmod ] || [ -x /usr/sbin/depmod ] || need+=(kmod)
[ -x /sbin/mke2fs ] || [ -x /usr/sbin/mke2fs ] || need+=(e2fsprogs)
if [ ${#need[@]} -gt 0 ]; then
  if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    say "missing: ${need[*]}; install these packages (Debian's names)"; exit 77
  fi
  say "installing ${need[*]}"
  apt-get update -qq >&2
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${need[@]}" >&2 ||
    { say "could not install: ${need[*]}"; exit 77; }
fi

# ---- the image (built once for a set of packages and this script) ------------------
mkdir -p "$CACHE"
chmod 700 "$CACHE"
pkgs=$(echo $PKGS | tr ' ' '\n' | sort -u | paste -sd,)
stamp=$( { echo "$SUITE $pkgs"; sed -n '/^build_image/,/^}/p;/^write_init/,/^}/p' "$0"; } | sha256sum | cut -c1-12)
IMG=$CACHE/img-$stamp
if [ ! -e "$IMG/root.img" ]; then
  if [ "$(id -u)" != 0 ]; then say "the guest image is not built yet, which needs root (debootstrap)"; exit 77; fi
  if [ -z "$MIRROR" ]; then say "no Debian package source is set up, so no guest image can be built"; exit 77; fi
fi
[ "${1:-}" = --check ] && exit 0

write_init() {  # the guest's first process; the second one comes by the control share
  cat >"$1/init" <<'INIT'
#!/bin/busybox sh
/bin/busybox mkdir -p /proc /sys /dev /new
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sys /sys
/bin/busybox mount -t devtmpfs dev /dev
while read -r m; do /bin/busybox insmod /m/$m; done </m/order
n=0; while [ ! -b /dev/vda ] && [ $n -lt 200 ]; do n=$((n+1)); /bin/busybox usleep 10000; done
/bin/busybox mount -t ext4 /dev/vda /new
/bin/busybox umount /proc; /bin/busybox umount /sys
/bin/busybox mount --move /dev /new/dev
/bin/busybox mkdir -p /new/ctl /new/host
/bin/busybox mount -t 9p -o trans=virtio,version=9p2000.L,msize=262144 ctl /new/ctl
exec /bin/busybox switch_root /new /bin/sh /ctl/init
INIT
  chmod +x "$1/init"
}

build_image() {
  local w=$CACHE/build.$$ k kver m
  say "building the guest image (once; about two minutes)"
  rm -rf "$CACHE"/build.*; mkdir -p "$w/deb" "$w/k" "$w/ram/bin" "$w/ram/m"
  debootstrap --variant=minbase --include="$pkgs" "$SUITE" "$w/root" "$MIRROR" >"$w/debootstrap.log" 2>&1 ||
    { tail -20 "$w/debootstrap.log" >&2; return 1; }
  # The kernel's package is unpacked, not installed: no initramfs tools, no hooks.
  chroot "$w/root" apt-get update -qq >"$w/apt.log" 2>&1 || true
  k=$(chroot "$w/root" apt-cache depends linux-image-amd64 | sed -n 's/.*Depends: \(linux-image-[0-9].*\)/\1/p' | head -1)
  (cd "$w/root/tmp" && chroot "$w/root" sh -c "cd /tmp && apt-get download -qq $k" 2>/dev/null)
  dpkg-deb -x "$w/root/tmp/$k"_*.deb "$w/k"
  rm -f "$w/root/tmp/"*.deb
  kver=${k#linux-image-}
  # Keep the modules that networking, cryptography and the VM's own devices need.
  local src=$w/k/lib/modules/$kver dst=$w/root/lib/modules/$kver d
  mkdir -p "$dst/kernel/drivers/net/wireless"
  for d in net crypto lib arch/x86/crypto fs/ext4 fs/jbd2 fs/9p fs/fscache fs/netfs fs/overlayfs fs/fuse \
           fs/squashfs drivers/virtio drivers/block drivers/char drivers/net/bonding drivers/net/usb drivers/char/hw_random; do
    [ -d "$src/kernel/$d" ] && mkdir -p "$dst/kernel/$d" && cp -a "$src/kernel/$d/." "$dst/kernel/$d/"
  done
  find "$src/kernel/fs" -maxdepth 1 -name '*.ko' -exec cp -a {} "$dst/kernel/" \;
  find "$src/kernel/drivers/net" -maxdepth 1 -name '*.ko' -exec cp -a {} "$dst/kernel/drivers/net/" \;
  find "$src/kernel/drivers/net/wireless" -maxdepth 2 -name 'mac80211_hwsim.ko' -exec cp -a {} "$dst/kernel/drivers/net/wireless/" \;
  cp "$src"/modules.builtin* "$src"/modules.order "$dst/"
  depmod -b "$w/root" "$kver"
  # The initramfs: busybox and just the modules that reach the root image and the shares.
  cp "$w/root/bin/busybox" "$w/ram/bin/busybox"
  for m in virtio_pci virtio_blk ext4 crc32c_generic 9pnet_virtio 9p virtio_console virtio_net virtio_rng; do
    modprobe -d "$w/root" -S "$kver" --show-depends "$m" 2>/dev/null | awk '$1=="insmod"{print $2}' || true
  done | awk '!seen[$0]++' >"$w/mods"
  while read -r m; do cp "$m" "$w/ram/m/"; basename "$m"; done <"$w/mods" >"$w/ram/m/order"
  write_init "$w/ram"
  (cd "$w/ram" && find . | cpio -o -H newc --quiet | gzip -1) >"$w/initrd"
  rm -rf "$w/root/var/cache/apt/archives/"*.deb "$w/root/var/lib/apt/lists/"* "$w/root/usr/share/doc/"* "$w/root/usr/share/man/"*
  local mb=$(( $(du -sm "$w/root" | cut -f1) * 5 / 4 + 128 ))
  mke2fs -q -t ext4 -O ^has_journal -d "$w/root" "$w/root.img" "${mb}M" >&2
  mkdir -p "$w/out"; mv "$w/root.img" "$w/initrd" "$w/out/"; cp "$w/k/boot/vmlinuz-$kver" "$w/out/vmlinuz"; echo "$kver" >"$w/out/kver"
  rm -rf "$IMG"; mv "$w/out" "$IMG"; rm -rf "$w"
}
if [ "${HWSIM_REBUILD:-0}" = 1 ] || [ ! -e "$IMG/root.img" ]; then
  exec 9>"$CACHE/lock"; flock 9
  if [ "${HWSIM_REBUILD:-0}" = 1 ] || [ ! -e "$IMG/root.img" ]; then build_image; fi
  exec 9>&-
fi

# ---- one run -----------------------------------------------------------------------
exec 7>"$CACHE/run.lock"
flock -n 7 || { say "another guest runs; waiting for it"; flock 7; }
ACCEL=${HWSIM_ACCEL:-auto}
if [ "$ACCEL" = auto ]; then   # under kvm_pvm /dev/kvm opens, but a stock kernel hangs before its first line
  ACCEL=tcg
  if [ -w /dev/kvm ] && { [ -d /sys/module/kvm_amd ] || [ -d /sys/module/kvm_intel ]; }; then ACCEL=kvm; fi
fi
cpu=host; [ "$ACCEL" = kvm ] || cpu=max
R=$CACHE/run.$$; mkdir -p "$R/ctl"
cleanup() { [ "${keep:-0}" = 1 ] || rm -rf "$R"; }
trap cleanup EXIT
printf 'RADIOS=%s\nMODARGS=%q\n' "$RADIOS" "${HWSIM_MODARGS:-}" >"$R/ctl/env"
: >"$R/ctl/cmd"
if [ $# -gt 0 ]; then { printf '%q ' "$@"; echo; } >"$R/ctl/cmd"
elif [ ! -t 0 ]; then cat >"$R/ctl/cmd"; fi
cat >"$R/ctl/init" <<'INIT'
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TERM=${TERM:-linux} LANG=C.UTF-8
mount -t proc proc /proc; mount -t sysfs sys /sys
mkdir -p /dev/pts /dev/shm
mount -t devpts pts /dev/pts; mount -t tmpfs shm /dev/shm; mount -t tmpfs run /run; mount -t tmpfs tmp /tmp
mount -t debugfs debug /sys/kernel/debug 2>/dev/null
mount -t 9p -o trans=virtio,version=9p2000.L,msize=262144,cache=none host /host
mkdir -p /rig; mount -t 9p -o ro,trans=virtio,version=9p2000.L,msize=262144 rig /rig
. /ctl/env
ip link set lo up
n=0; port=; while [ -z "$port" ] && [ $n -lt 200 ]; do
  port=$(basename "$(dirname "$(grep -lx out /sys/class/virtio-ports/*/name 2>/dev/null)")" 2>/dev/null)
  [ -e "/dev/$port" ] && [ "$port" != . ] || { port=; n=$((n+1)); busybox usleep 10000; }
done
exec 0<>/dev/$port 1>&0 2>&0   # such a port opens once: one descriptor for all three
if [ -d /sys/class/net/eth0 ]; then
  ip link set eth0 up; ip addr add 10.0.2.15/24 dev eth0
fi
modprobe mac80211_hwsim radios=$RADIOS $MODARGS
cut -d' ' -f1 /proc/uptime >/ctl/boot
cd /host
if [ -s /ctl/cmd ]; then sh /ctl/cmd; else
  echo "hwsim guest: $(uname -r), $RADIOS radios; the host folder is /host; ends with exit"
  script -qec "bash -i" /dev/null; fi
echo $? >/ctl/rc
sync
echo o >/proc/sysrq-trigger
sleep 5
INIT
net=()
if [ -n "${HWSIM_FORWARD:-}" ]; then
  n="user,id=n0,restrict=on"
  for p in $HWSIM_FORWARD; do
    n+=",guestfwd=tcp:10.0.2.100:$p-cmd:$(command -v python3) $RIG/pipe.py $p"
  done
  net=(-netdev "$n" -device virtio-net-pci,netdev=n0)
fi
# With a command there is no input; an ended input would close the port the output comes by,
# so the command gets one that never ends.
if [ -s "$R/ctl/cmd" ]; then mkfifo "$R/in"; exec 8<>"$R/in"; else exec 8<&0; fi
start=$(date +%s.%N)
set +e
qemu=(timeout --foreground "${HWSIM_TIMEOUT:-600}" qemu-system-x86_64
  -accel "$ACCEL" -cpu "$cpu" -M pc,graphics=off -m "${HWSIM_MEM:-512}" -smp "${HWSIM_SMP:-1}"
  -nodefaults -no-user-config -display none -no-reboot
  -kernel "$IMG/vmlinuz" -initrd "$IMG/initrd"
  -append "console=ttyS0 quiet loglevel=4 panic=-1 tsc=reliable random.trust_cpu=on net.ifnames=0"
  -serial "file:$R/console.log"
  -drive "file=$IMG/root.img,format=raw,if=virtio,snapshot=on"
  -fsdev "local,id=h,path=$SHARE,security_model=none" -device virtio-9p-pci,fsdev=h,mount_tag=host
  -fsdev "local,id=c,path=$R/ctl,security_model=none" -device virtio-9p-pci,fsdev=c,mount_tag=ctl
  -fsdev "local,id=r,path=$RIG,security_model=none,readonly=on" -device virtio-9p-pci,fsdev=r,mount_tag=rig
  -device virtio-rng-pci -device virtio-serial-pci
  -chardev stdio,id=out,signal=off -device virtserialport,chardev=out,name=out
  "${net[@]}")
if [ -s "$R/ctl/cmd" ]; then   # in the background, so that a signal to this script ends the guest
  "${qemu[@]}" <&8 7>&- &
  guest=$!
  trap 'kill "$guest" 2>/dev/null' TERM INT
  wait "$guest"
else
  "${qemu[@]}" <&8
fi
q=$?
set -e
rc=$(cat "$R/ctl/rc" 2>/dev/null || true)
if [ -z "$rc" ]; then
  keep=1; say "the guest gave no status (qemu: $q); its console: $R/console.log"; tail -15 "$R/console.log" >&2
  exit 125
fi
[ -z "${HWSIM_VERBOSE:-}" ] || say "$ACCEL; guest ready $(cat "$R/ctl/boot") s after its kernel began; $(awk "BEGIN{printf \"%.1f\", $(date +%s.%N)-$start}") s in all; status $rc"
exit "$rc"
