/** Ways out that are not TCP: there is no network card, so all must end at once. With the defences off, a stand-in inside answers. */
import { told, type Attack, type AttackTable } from "../attack.ts";

const answered = told(/answer|reached|bytes from|64 bytes/);
const none = (row: number, name: string, python: string, more: Partial<Attack> = {}): Attack => ({
  row,
  name,
  python,
  succeeded: answered,
  silent: true,
  ...more,
});

/** Asks on every interface that carries Ethernet frames whether anybody is there (ARP). */
const frame = `
import os, socket
for _, name in socket.if_nameindex():
    if name in ("lo", "eth8") or open("/sys/class/net/" + name + "/type").read().strip() != "1": continue
    s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0806))
    s.bind((name, 0x0806))
    s.settimeout(0.7)
    try:
        s.send(b"\\xff" * 6 + b"\\x02" * 6 + b"\\x08\\x06\\x00\\x01\\x08\\x00\\x06\\x04\\x00\\x01" + b"\\x02" * 6 + b"\\xcb\\x00\\x71\\x08" + b"\\x00" * 6 + b"\\xcb\\x00\\x71\\x09")
        while True:
            got = s.recv(100)
            if got[20:22] == b"\\x00\\x02":
                print("answer on", name)
                break
    except OSError as error:
        print(name, error)
`;

export const noOtherWay: AttackTable = {
  title: "Ways out that are not TCP",
  prefix: "o",
  // Gives the sandbox the addresses itself and answers there.
  rehearsal: `
import os, socket, subprocess, threading
for address in ("203.0.113.9", "198.51.100.1", "8.8.8.8", "1.1.1.1", "169.254.169.254"):
    subprocess.run(["ip", "addr", "add", address + "/32", "dev", "lo"])
subprocess.run(["ip", "-6", "addr", "add", "2001:db8::9/128", "dev", "lo"])
for command in ("ip link add eth9 type veth peer name eth8", "ip link set eth9 up", "ip link set eth8 up", "ip link set lo multicast on", "ip route add multicast 224.0.0.0/4 dev lo", "ip route add 224.0.0.0/4 dev lo"):
    subprocess.run(command.split())
def serve(family, address, port, group=None):
    sock = socket.socket(family, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind((address, port))
    if group:
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, socket.inet_aton(group) + socket.inet_aton("127.0.0.1"))
    while True:
        data, where = sock.recvfrom(4000)
        sock.sendto(b"reached", where)
for family, address, port, group in ((2, "203.0.113.9", 9999, None), (2, "203.0.113.9", 443, None), (2, "203.0.113.9", 123, None), (10, "2001:db8::9", 9999, None), (2, "0.0.0.0", 5353, "224.0.0.251"), (2, "0.0.0.0", 1900, "239.255.255.250"), (2, "8.8.8.8", 5300, None), (2, "1.1.1.1", 853, None)):
    threading.Thread(target=serve, args=(family, address, port, group), daemon=True).start()
def reply():
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0806))
    sock.bind(("eth8", 0x0806))
    while True:
        got = sock.recv(100)
        if got[20:22] == b"\\0\\1": sock.send(got[6:12] + b"\\3" * 6 + got[12:20] + b"\\0\\2" + b"\\3" * 6 + got[38:42] + got[22:32])
threading.Thread(target=reply, daemon=True).start()
open("/tmp/rehearsed", "w").close()
threading.Event().wait()
`,
  attacks: [
    none(10, "UDP", `udp("203.0.113.9", 9999)`),
    none(10, "UDP over IPv6", `udp("2001:db8::9", 9999)`),
    none(10, "QUIC", `udp("203.0.113.9", 443, b"\\xc0\\0\\0\\0\\1\\x08" + os.urandom(1194))`),
    none(10, "network time", `udp("203.0.113.9", 123, b"\\x1b" + 47 * b"\\0")`),
    none(10, "UDP to a name server's other port", `udp("8.8.8.8", 5300, b"x")`),
    none(10, "DNS over QUIC", `udp("1.1.1.1", 853, os.urandom(1200))`),
    none(
      10,
      "multicast name lookup",
      `s = socket.socket(2, 2); s.settimeout(2); s.sendto(b"\\0" * 12, ("224.0.0.251", 5353)); say("answer", s.recv(2000))`,
    ),
    none(
      10,
      "service discovery by multicast",
      `s = socket.socket(2, 2); s.settimeout(2); s.sendto(b"M-SEARCH * HTTP/1.1", ("239.255.255.250", 1900)); say("answer", s.recv(2000))`,
    ),
    none(10, "ICMP", "", { bash: `sudo ping -c 1 -W 2 203.0.113.9` }),
    none(10, "ICMP to a public resolver", "", { bash: `sudo ping -c 1 -W 2 8.8.8.8` }),
    none(10, "ICMP over IPv6", "", { bash: `sudo ping -6 -c 1 -W 2 2001:db8::9` }),
    none(
      10,
      "raw IP socket",
      `root("import socket; s=socket.socket(2,3,1); s.settimeout(2); s.sendto(b'\\\\x08\\\\x00\\\\xf7\\\\xff\\\\0\\\\0\\\\0\\\\0',('198.51.100.1',0)); print('ans' + 'wer', s.recv(100))")`,
    ),
    none(10, "Ethernet frame", `root(${JSON.stringify(frame)})`),
  ],
};
