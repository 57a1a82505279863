#!/bin/sh
# The forced command of a test's SSH server: what an invented machine answers. `host.sh FOLDER`, where FOLDER/mode-PORT
# says how the machine behaves that listens on a port.
folder=$1
port=${SSH_CONNECTION##* }
mode=$(cat "$folder/mode-$port" 2>/dev/null)
echo "$port $SSH_ORIGINAL_COMMAND" >>"$folder/commands"

# hang: this command is not answered; what waits for the client is told.
hang() {
  echo "$port" >>"$folder/hanging"
  exec sleep 100
}

case $mode:$SSH_ORIGINAL_COMMAND in
  hang:*) hang ;;
  hang-once:*)
    echo >"$folder/mode-$port"
    hang
    ;;
  hang-script:'sh -s') cat "$folder/script-$port" && hang ;;
  script:'sh -s') cat "$folder/script-$port" ;;
  real:'sh -s') exec sh -s ;;
  flood:'cat /proc/meminfo') exec cat /dev/zero ;;
  broken:'cat /proc/meminfo')
    echo 'cat: /proc/meminfo: Permission denied' >&2
    exit 1
    ;;
  no6:'ip r g 2001:4860:4860::8888')
    echo 'RTNETLINK answers: Network is unreachable' >&2
    exit 2
    ;;
  words:'ip r g '* | words:'ip a s '*)
    echo 'Object "r" is unknown, try "ip help".' >&2
    exit 1
    ;;
  *:'cat /proc/meminfo') printf 'MemTotal:       32768000 kB\nMemFree:         1000000 kB\nHugePages_Total:       0\n' ;;
  arm:'cat /proc/cpuinfo') printf 'processor\t: 0\nBogoMIPS\t: 48.00\n\nprocessor\t: 1\n\nHardware\t: BCM2835\n' ;;
  *:'cat /proc/cpuinfo')
    for number in 0 1 2 3; do
      printf 'processor\t: %s\nmodel name\t: Fake CPU @ 2.00GHz\nflags\t\t: fpu vme\n\n' "$number"
    done
    ;;
  *:'ip r g 8.8.8.8' | *:'ip route get 8.8.8.8')
    printf '8.8.8.8 via 10.0.0.1 dev eth0 src 10.0.0.7 uid 0 \n    cache \n'
    ;;
  *:'ip r g 2001:4860:4860::8888' | *:'ip route get 2001:4860:4860::8888')
    printf '2001:4860:4860::8888 from :: via fe80::1 dev eth0 src 2001:db8::7 metric 1024 pref medium\n'
    ;;
  *:'ip a s dev eth0' | *:'ip address show dev eth0')
    printf '2: eth0: <UP> mtu 1500\n    inet 10.0.0.70/24 scope global eth0\n    inet 10.0.0.7/24 scope global eth0\n'
    printf '    inet6 2001:db8::7/64 scope global \n    inet6 fe80::7/64 scope link \n'
    ;;
  *)
    echo "not allowed: $SSH_ORIGINAL_COMMAND" >&2
    exit 127
    ;;
esac
