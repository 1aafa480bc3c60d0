#!/bin/bash
# Record the bundled capture python/midsock/data/web.pcap.gz and its truth tests/data/web.truth.json from real
# kernel TCP.
#
# nginx and curl run in two network namespaces; a third one routes between them and captures on its link to the
# client. Packets are lost only *after* they passed the capture point (client to server in the router's forward
# chain, server to client on arrival at the client), so that the capture holds both the original and the
# retransmission, IPv4 and IPv6 alike. Offloads are off: frames have at most 1,514 bytes and valid checksums.
#
# usage (as root): record_web.sh [CAPTURE.pcap.gz [TRUTH.json]]
# needs: nginx-light curl tcpdump tshark ethtool nftables iproute2 python3 (Debian packages); about 40 seconds
# Random losses differ from run to run, and the truth with them: the two files belong together.
set -euo pipefail
here=$(dirname "$(realpath "$0")") root=$(realpath "$(dirname "$0")/../..")
out=$(realpath -m "${1:-$root/python/midsock/data/web.pcap.gz}")
truth=$(realpath -m "${2:-$here/web.truth.json}")
dir=$(mktemp -d) srv=web-srv-$$ cli=web-cli-$$ rtr=web-rtr-$$
tidy() {
  [[ -f $dir/nginx.pid ]] && kill "$(cat "$dir/nginx.pid")" 2>/dev/null || true
  for ns in $srv $cli $rtr; do ip netns del $ns 2>/dev/null || true; done
  rm -rf "$dir"
}
trap tidy EXIT

# --- the network: client -- router -- server, in the address ranges kept for documentation ---
end() { # end NS IF ADDR/LEN...: bring one end of a veth up, offloads off
  local ns=$1 dev=$2 a; shift 2
  for a in "$@"; do
    case $a in
    *:*) ip -n "$ns" addr add "$a" dev "$dev" nodad ;;
    *) ip -n "$ns" addr add "$a" dev "$dev" ;;
    esac
  done
  ip netns exec "$ns" ethtool -K "$dev" gso off tso off gro off tx off rx off sg off >/dev/null 2>&1 || true
  ip -n "$ns" link set lo up; ip -n "$ns" link set "$dev" mtu 1500 up
}
for ns in $srv $cli $rtr; do
  ip netns add $ns
  # Each connection starts afresh: nothing learnt from an earlier one, no cookie that hides a lost SYN/ACK.
  ip netns exec $ns sysctl -qw net.ipv4.tcp_no_metrics_save=1 net.ipv4.tcp_syncookies=0
done
ip link add uplink netns $cli type veth peer name clients netns $rtr
ip link add uplink netns $srv type veth peer name servers netns $rtr
end $srv uplink 192.0.2.{10,20,30}/24 2001:db8:2::{10,20}/64
end $rtr servers 192.0.2.254/24 2001:db8:2::fe/64
end $cli uplink 198.51.100.{1,2,3,4}/24 2001:db8:1::{1,2,3}/64
end $rtr clients 198.51.100.254/24 2001:db8:1::fe/64
ip netns exec $rtr sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
ip -n $srv route add default via 192.0.2.254; ip -n $srv -6 route add default via 2001:db8:2::fe
ip -n $cli route add default via 198.51.100.254; ip -n $cli -6 route add default via 2001:db8:1::fe
# A path of some length, so that there is a window in flight when a packet is lost.
for dev in servers clients; do
  ip netns exec $rtr tc qdisc add dev $dev root netem delay 4ms limit 10000 2>/dev/null ||
    echo "no netem in this kernel: recorded without a path delay" >&2
done
lose() { # lose NS HOOK IF: drops 9 % of SYNs and SYN/ACKs, 3 % of long and 2 % of short other packets
  ip netns exec "$1" nft -f - <<N
table inet loss {
  chain loss {
    type filter hook $2 priority 0; policy accept;
    iifname != "$3" accept
    meta l4proto != tcp accept
    tcp flags & syn == syn numgen random mod 100 < 9 drop
    tcp flags & syn == syn accept
    meta length > 100 numgen random mod 100 < 3 drop
    meta length <= 100 numgen random mod 100 < 2 drop
  }
}
N
}
lose $rtr forward clients
lose $cli input uplink

# --- the servers ---
mkdir -p "$dir"/{www,img,api}
prose() { # prose SEED BYTES: text, which compresses as text does
  awk -v seed="$1" -v size="$2" 'BEGIN {
    words = split("a flow is one connection of two ends each with state sequence numbers window and " \
      "the packet that was lost comes again and the stack tells it from what was seen before", word, " ")
    for (srand(seed); n < size; n += length(s)) {
      s = word[int(rand() * words) + 1] (rand() < 0.1 ? "\n" : " ")
      printf "%s", s
    } }' | head -c "$2"
}
prose 1 2900 >"$dir/www/index.html"
prose 2 7000 >"$dir/www/style.css"
prose 3 16000 >"$dir/www/app.js"
prose 4 120000 >"$dir/www/manual.txt"
for i in 1 2 3 4; do head -c $((i * 1500)) /dev/urandom >"$dir/img/$i.png"; done
prose 5 700 >"$dir/api/list.json"
prose 6 3300 >"$dir/api/item.json"
prose 7 6000 >"$dir/post.json"
server() { # server DIR PORT ADDR...
  local d=$1 port=$2 a; shift 2
  printf 'server { root %s;' "$dir/$d"
  for a in "$@"; do printf ' listen %s:%s;' "$a" "$port"; done
  printf ' location = /accept { return 201 "accepted\\n"; } location = /old { return 302 /list.json; }'
  printf ' location = /manual.txt { limit_rate $arg_rate; } }\n'
}
cat >"$dir/nginx.conf" <<N
user root; worker_processes 1; daemon on; pid $dir/nginx.pid; error_log $dir/error.log;
events { worker_connections 1024; }
http {
  log_format short '\$server_addr:\$server_port \$request_method \$status'; access_log $dir/access.log short;
  types { text/html html; text/css css; application/json json; image/png png; text/plain txt js; }
  server_tokens off; keepalive_timeout 4; sendfile on; tcp_nopush on;
  client_body_temp_path $dir/b; proxy_temp_path $dir/p; fastcgi_temp_path $dir/f;
  uwsgi_temp_path $dir/u; scgi_temp_path $dir/s;
  $(server www 80 192.0.2.10 '[2001:db8:2::10]')
  $(server img 80 192.0.2.20 '[2001:db8:2::20]')
  $(server api 8080 192.0.2.30 '[2001:db8:2::20]')
}
N
ip netns exec $srv nginx -c "$dir/nginx.conf" -p "$dir" 2>/dev/null

# --- the capture point ---
: >"$dir/tcpdump.log"
ip netns exec $rtr tcpdump -Z root -i clients -s 0 -n -B 65536 -w "$dir/web.pcap" 2>"$dir/tcpdump.log" &
tcpdump=$!
until grep -q 'listening on' "$dir/tcpdump.log"; do sleep 0.1; done
sleep 0.5

# --- the clients ---
# In each pair, and wherever V is asked for, 0 is IPv4 and 1 is IPv6.
www=(192.0.2.10 '[2001:db8:2::10]')
img=(192.0.2.20 '[2001:db8:2::20]')
api=(192.0.2.30:8080 '[2001:db8:2::20]:8080')
fetch() { # fetch V CURL-ARGUMENT...: from one of the client's addresses
  local v=$1 from; shift
  from=198.51.100.$((RANDOM % 4 + 1))
  if ((v)); then from=2001:db8:1::$((RANDOM % 3 + 1)); fi
  ip netns exec $cli curl -s -g -m 40 --interface "$from" -o /dev/null "$@" || true
}
urls() { local u; for u; do printf -- '-o\n/dev/null\n%s\n' "$u"; done; }
visit() { # visit V: a page with style and script, two pictures that may be missing, then a call to the API
  local v=$1 w=http://${www[$1]} i=http://${img[$1]} pages
  mapfile -t pages < <(urls "$w/style.css" "$w/app.js")
  fetch "$v" "$w/" "${pages[@]}"
  fetch "$v" "$i/$((RANDOM % 6 + 1)).png" &
  fetch "$v" "$i/$((RANDOM % 4 + 1)).png" &
  case $((RANDOM % 4)) in
  0) fetch "$v" --data-binary "@$dir/post.json" "http://${api[$v]}/accept" ;;
  1) fetch "$v" -L -o /dev/null "http://${api[$v]}/old" ;;
  2) fetch "$v" -H 'Connection: close' "http://${api[$v]}/list.json" ;;
  *) fetch "$v" "http://${api[$v]}/item.json" ;;
  esac
  wait
}
loads=()
RANDOM=42
for second in $(seq 0 29); do
  # More clients in the middle of the recording than at its ends.
  for _ in $(seq 1 $((second > 7 && second < 22 ? 3 : 1))); do
    visit $((RANDOM % 5 < 2)) & loads+=($!)
  done
  case $second in # downloads that the server paces: connections that stay for seconds
  3 | 15) fetch 0 "http://${www[0]}/manual.txt?rate=12k" & loads+=($!) ;;
  9) fetch 1 "http://${www[1]}/manual.txt?rate=12k" & loads+=($!) ;;
  # One connection that asks again each second: idle in between, and closed by the server when it stays idle.
  5) mapfile -t again < <(urls "http://${api[0]}/"{list,item,list,item,list,item}.json)
     fetch 0 --rate 60/m "${again[@]}" & loads+=($!) ;;
  12) mapfile -t again < <(urls "http://${api[1]}/"{item,list,item,list}.json)
      fetch 1 --rate 60/m "${again[@]}" & loads+=($!) ;;
  # Nobody listens here: refused with RST.
  8 | 18) fetch 0 http://192.0.2.10:8081/ & loads+=($!) ;;
  20) fetch 1 "http://[2001:db8:2::10]:8081/" & loads+=($!) ;;
  # The client gives up on a file that is too long for it: what still arrives is answered with RST.
  11 | 24) fetch 0 --max-filesize 50000 "http://${www[0]}/manual.txt?rate=60k" & loads+=($!) ;;
  14) fetch 1 --max-filesize 50000 "http://${www[1]}/manual.txt?rate=60k" & loads+=($!) ;;
  # Still running when the capture ends.
  26) fetch 0 "http://${www[0]}/manual.txt?rate=5k" &
      fetch 1 "http://${www[1]}/manual.txt?rate=5k" & ;;
  esac
  sleep 1
done
wait "${loads[@]}"
sleep 5
kill -INT $tcpdump; wait $tcpdump || true
tail -n 3 "$dir/tcpdump.log"
gzip -9n <"$dir/web.pcap" >"$dir/web.pcap.gz"
python3 "$here/web_truth.py" "$dir/web.pcap.gz" >"$dir/web.truth.json"
echo "nginx's own log of finished requests, by server:"
cut -d' ' -f1 "$dir/access.log" | sort | uniq -c
mkdir -p "$(dirname "$out")" "$(dirname "$truth")"
cp "$dir/web.pcap.gz" "$out"; cp "$dir/web.truth.json" "$truth"
ls -l "$out" "$truth"
