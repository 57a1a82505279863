# Says what the machine is, in sections that begin with a marker. Needs a POSIX shell; what is missing is left out.
main() {
  LC_ALL=C
  PATH=$PATH:/usr/sbin:/sbin
  export LC_ALL PATH
  section() { printf '\n=ckworker= %s\n' "$1"; }

  section os
  cat /etc/os-release || cat /usr/lib/os-release

  section kernel
  uname -s
  uname -r
  uname -m

  section boot
  grep '^btime ' /proc/stat

  section disks
  for disk in /sys/block/*; do
    name=${disk##*/}
    case $name in
      loop* | ram* | zram* | sr* | fd* | dm-* | md* | '*') continue ;;
    esac
    size=$(cat "$disk/size") || continue
    rotational=$(cat "$disk/queue/rotational")
    printf '%s\t%s\t%s\t%s\n' "$name" "$size" "$rotational" "$(cat "$disk/device/model")"
  done

  section packages
  if command -v dpkg-query >/dev/null; then
    echo "dpkg $(dpkg-query -W -f '${db:Status-Abbrev}\n' | grep -c '^.i')"
  elif command -v rpm >/dev/null; then
    echo "rpm $(rpm -qa | grep -c .)"
  elif command -v apk >/dev/null; then
    echo "apk $(apk info | grep -c .)"
  elif command -v pacman >/dev/null; then
    echo "pacman $(pacman -Qq | grep -c .)"
  fi

  section mounts
  while read -r device mount type options _; do
    case $type in
      squashfs | iso9660 | autofs) continue ;;
      zfs) ;;
      *) case $device in /dev/*) ;; *) continue ;; esac ;;
    esac
    path=$(printf '%b' "$(printf '%s' "$mount" | sed 's/\\\([0-7][0-7][0-7]\)/\\0\1/g')")
    printf '%s\t%s\t%s\t%s\t%s\n' "$device" "$mount" "$type" "$options" "$(df -Pk "$path" | tail -n 1)"
  done </proc/mounts

  section end
}
main </dev/null 2>/dev/null
