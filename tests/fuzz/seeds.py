# SPDX-License-Identifier: LGPL-2.1-or-later
"""Where the fuzzer starts: for each target a few inputs that mean something, so that it has not to
find out by itself what a TransportID or a handshake looks like."""
import struct
from typing import Dict, List

KEYS = bytes.fromhex("1122334455667788 99aabbccddeeff00")
FC = bytes.fromhex("00" * 8 + "21000024ff3a5b6c" + "00" * 8)
SAS = bytes.fromhex("06000000 5000c500a1b2c3d4" + "00" * 12)
SRP = bytes.fromhex("04" + "00" * 7 + "00112233445566778899aabbccddeeff")
UNKNOWN = bytes.fromhex("09" + "17" * 23)
ISCSI_NAME = b"iqn.2026-01.example:node"
ISCSI_ISID = b",i,0x00023D000001"


def iscsi(text: bytes, byte0: int) -> bytes:
    text += b"\0" * (4 - len(text) % 4)
    return bytes([byte0, 0]) + struct.pack(">H", len(text)) + text


ISCSI_DEVICE = iscsi(ISCSI_NAME, 0x05)
ISCSI_PORT = iscsi(ISCSI_NAME + ISCSI_ISID, 0x45)
IDS = [FC, SAS, SRP, UNKNOWN, ISCSI_DEVICE, ISCSI_PORT]


def cdb(opcode: int, action: int, byte2: int, length: int) -> bytes:
    return bytes([opcode, action, byte2, 0, 0]) + struct.pack(">I", length) + bytes(7)


def prout(action: int, flags: int, ids: bytes = b"") -> bytes:
    if action == 7:
        return KEYS + bytes([0, flags]) + struct.pack(">HI", 1, len(ids)) + ids
    fixed = KEYS + bytes([0, 0, 0, 0, flags, 0, 0, 0])
    return fixed + struct.pack(">I", len(ids)) + ids if flags & 8 else fixed


def descriptor(number: int, port: bytes) -> bytes:
    return struct.pack(">Q4xBB4xHI", number, 1, 0x05, 1, len(port)) + port


def answer(body: bytes, size: int = -1) -> bytes:
    return struct.pack(">II", 7, len(body) if size < 0 else size) + body


def saved_lu(flags: int, scope_type: int, holder: int, ports: List[bytes]) -> bytes:
    state = b"PRLU" + struct.pack(">HBBHH", 1, flags, scope_type, holder, len(ports))
    for number, port in enumerate(ports):
        state += struct.pack(">QHH", number + 1, 1, len(port)) + port
    return state


def lu_command(nexus: int, command: bytes, parameters: bytes = b"") -> bytes:
    return bytes([nexus, 0]) + command[:10] + bytes([len(parameters)]) + parameters


def seeds() -> Dict[str, List[bytes]]:
    found: Dict[str, List[bytes]] = {}
    good = bytes([0]) + struct.pack(">I", 8192) + bytes(96)
    conflict = bytes([0x18]) + struct.pack(">I", 0xffffffff) + bytes(96)
    found["wire"] = [struct.pack(">I", features) + cdb(opcode, 1, 5, length) + reply
                     for features in (0, 1, 2) for opcode in (0x5e, 0x5f, 0xff, 0x12)
                     for length in (0, 24, 8192, 8193) for reply in (good, conflict)][:48]

    hello = b"\0\0h\2" + struct.pack(">II", 1, 4711) + b"no rights\x1b"
    request = b"\0\0q\2" + struct.pack(">III", 60000, 30000, 7) + cdb(0x5f, 0, 0, 24) + prout(0, 1)
    reply = b"\0\0p\2" + struct.pack(">II", 2, 24) + bytes(96) + b"path lost\n".ljust(512, b"\0")
    found["worker"] = [bytes([kind, off]) + message
                       for kind, message in enumerate((hello, request, reply))
                     for off in (0, 1, 255)]

    found["prout"] = [bytes([action, 40]) + prout(action, flags) for action in range(9)
                      for flags in (0, 1, 4)]
    found["prout"] += [bytes([0, 200]) + prout(0, 8, b"".join(IDS)), bytes([0, 9]) + prout(0, 8)]
    found["prout"] += [bytes([0, 9]) + prout(0, 8)[:-4] + struct.pack(">I", 24),
                       bytes([7, 9]) + prout(7, 0, FC)[:-1]]
    found["prout"] += [bytes([7, 60]) + prout(7, 3, port) for port in IDS]

    texts = [b"fc:21000024ff3a5b6c", b"sas:5000c500a1b2c3d4", b"raw:0102", b"srp:" + b"0f" * 16,
             b"iscsi:iqn.a%20b,i,0x1", ISCSI_NAME, b"naa.1", b"eui.2", b"iscsi:a%"]
    found["transportid"] = [bytes([kind, 20]) + port for kind in (0, 1) for port in IDS]
    found["transportid"] += [bytes([0, 255]) + b"".join(IDS)]
    found["transportid"] += [bytes([2, 12]) + text for text in texts]
    found["transportid"] += [bytes([3, 12]) + ISCSI_NAME, bytes([3, 12]) + ISCSI_NAME + ISCSI_ISID]

    full = answer(b"".join(descriptor(9, port) for port in IDS))
    found["prin"] = [bytes([0, room]) + answer(KEYS, size) for room in (0, 20, 255)
                     for size in (-1, 8, 400, 15)]
    found["prin"] += [bytes([1, room]) + answer(KEYS[:8] + bytes([0] * 5 + [5, 0, 0]))
                      for room in (5, 22, 24, 255)] + [bytes([1, 8]) + answer(b"")]
    found["prin"] += [bytes([2, room]) + bytes.fromhex("00081d91ea010000") for room in (4, 255)]
    found["prin"] += [bytes([3, 99]) + full, bytes([3, 99]) + full[:60]]

    fixed = bytes.fromhex("70000600000000 0a 00000000 2a03 0000 0000")
    short = bytes.fromhex("70000500000000 02 00000000 2403 0000")
    found["sense"] = [bytes([room]) + sense for room in (0, 10, 96)
                      for sense in (fixed, short, fixed[:3], fixed[:13], bytes.fromhex("7205240000000000"),
                                    b"\x71\0\x0b", b"\x73\x0f", bytes(18), b"\x7f" * 8, b"")]

    found["sg_reply"] = [bytes([opcode]) + struct.pack(">HBBHHiB", 24, error, status, host, driver,
                                                       residual, 18) + fixed
                         for opcode in (0, 1) for error in (0, 5, 22, 52)
                         for status, host, driver, residual in
                         ((0, 0, 0, 8), (0, 0, 7, 0), (2, 0, 8, -1), (0x18, 0, 0, 99),
                          (2, 16, 8, 0), (0, 17, 0, 0), (0, 0, 6, 0), (0, 3, 0, 0))]

    config = b"# a comment\nio-timeout = 20\nlog=syslog\nsocket-user=qemu\nverbose\n"
    found["options"] = [line.replace(b" ", b"\n") + b"\n\n" + config for line in (
        b"--config=@", b"-k /run/s.sock -d -f pid", b"-u qemu -g kvm -vv -q", b"--help", b"-V",
        b"--max-threads=2 --max-clients 9 --socket-mode=660 --socket-group=kvm --sandbox=off",
        b"-T help", b"-T *,events=@,file=x", b"--config @ --log=stderr --stop-timeout=0 --s=/x",
        b"--mpath-worker=/w --mpath-socket=/s --user=- --mpath-timeout=60 --client-timeout=1", b"-kx", b"--nonsense", b"-- x",
        b"--config=!", b"--io-timeout=0", b"--max-threads=1", b"--socket-mode=1777")]

    found["trace"] = [pattern + b"\n" + spec + b"\n# c\npr_*\n -x \n" for pattern, spec in (
        (b"pr_*", b"*"), (b"-?b", b"-*,file=a,,b"), (b"", b"enable=a,events=@"),
        (b"a*b", b"events=nosuch"), (b"-", b"help"), (b"??", b"x=y"), (b"aab", b"a,b"))]

    found["fault"] = [b"/tmp/lun hang", b"/l quirk no-aptpl", b"/l latency 250 # c",
                      b"l\tstatus 0x28", b"l sense 4/44/0", b"l sense 10/1/1", b"# c", b"  \r", b"l latency 99999999", b"l status 123"]

    found["multipathd"] = [struct.pack("<Q", size) + said for size, said in (
        (11, b"0x1122:ok\n\0"), (1, b"\0"), (0, b""), (256, b"x" * 256), (257, b"x" * 257),
        (9, b"short"), (2 ** 64 - 8, b"a"))] + [b"", b"\1\0\0"]

    defaults = b'defaults {\n\tverbosity 2\n\treservation_key %s\n}\n'
    own = b'multipaths {\n\tmultipath {\n\t\twwid "%s"\n\t\treservation_key "0x1:aptpl"\n\t}\n}\n'
    found["multipath_conf"] = [bytes([line]) + b"mpath-3600a\n" + text
                               for line in (0, 3) for text in
                               (defaults % b'"file"', defaults % b"0x123abc", own % b"3600a",
                                defaults % b"file" + own % b"3600b", b"}\n}\n" + own, b"fail\n\n",
                                struct.pack("<Q", 7) + b"0x5:aptpl\n\0")]

    manager = b"-object\0pr-manager-helper,id=p,path=/s\0"
    found["qemu_disk"] = [manager + line for line in (
        b"-blockdev\0driver=host_device,filename=/d,node-name=n,pr-manager=p\0"
        b"-device\0scsi-block,drive=n,werror=stop\0-M\0pc-q35-9.2\0",
        b'-blockdev\0{"driver":"raw","node-name":"f","file":"n"}\0'
        b'-blockdev\0{"filename":"/d","pr-manager":"p","node-name":"n"}\0'
        b'-device\0{"driver":"scsi-block","drive":"f","migrate-pr":true}\0',
        b"-drive\0file=/d,if=none,id=n,file.pr-manager=p\0-device\0scsi-block,drive=n\0",
        b'-drive\0if=virtio,file=json:{"file":{"filename":"/d"},,"a":[1,,null]}\0',
        b"-blockdev\0node-name=n,file=n\0-device\0x,drive=n\0", b"--hda\0/d\0-global\0a.b=c,,d\0")]

    found["json"] = [b"win-node-1\0", b'a"b\\c\x07\x7f\0/', "déjà €\U0001d11e".encode(),
                     b"\xc0\x80\0\xed\xa0\x80\0\xf4\x90\x80\x80", b"\xe2\x82\0\xff", b""]

    states = [b"", saved_lu(0, 0, 0xffff, []), saved_lu(1, 0, 0xffff, [SAS]),
              saved_lu(3, 5, 1, [FC, SAS, ISCSI_PORT]), saved_lu(3, 7, 0xffff, [SRP, SAS]),
              saved_lu(3, 1, 4, [SAS]), saved_lu(5, 0, 0xffff, [FC]),
              saved_lu(1, 0, 0xffff, [SAS, SAS]), saved_lu(2, 2, 0, [SAS]), b"PRLU\0\2"]
    register = lu_command(0, cdb(0x5f, 0, 0, 24), bytes(8) + KEYS[:8] + bytes(8))
    reserve = lu_command(0, cdb(0x5f, 1, 5, 24), KEYS[:8] + bytes(16))
    other = lu_command(2, cdb(0x5f, 6, 0, 24), bytes(8) + KEYS[8:] + bytes([0] * 4 + [1, 0, 0, 0]))
    preempt = lu_command(2, cdb(0x5f, 4, 6, 24), KEYS[8:] + KEYS[:8] + bytes(8))
    reads = b"".join(lu_command(1, cdb(0x5e, action, 0, 0)[:7] + b"\2\0\0") for action in range(4))
    move = prout(7, 1, SAS)
    # Three paths; every command; every step answered in the same way.
    found["paths"] = [bytes([3, daemon, 1, 0, aim, had, had, 0, 0, plain, 0, action, 5, 1, key]) + steps
                      for daemon in (0, 2) for aim, had, plain in ((0, 7, 0), (1, 3, 0), (2, 0, 1))
                      for action, key in ((0, 2), (1, 0), (4, 1), (4, 3))
                      for steps in (b"\0" * 40, b"\x37" * 60)]

    found["lu"] = [struct.pack(">H", len(state)) + state + commands for state in states
                   for commands in (b"", register + reserve + reads + other + preempt + reads)]
    found["lu"] += [b"\0\0" + register + reserve + commands for commands in (
        lu_command(0, cdb(0x5f, 2, 5, 24), KEYS[:8] + bytes(16)), lu_command(3, bytes(10)),
        lu_command(0, cdb(0x5f, 3, 0, 24), KEYS[:8] + bytes(16)) + lu_command(2, bytes(10)),
        lu_command(0, cdb(0x5f, 7, 0, len(move)), move),
        lu_command(2, cdb(0x5f, 0, 0, 52), bytes(8) + KEYS[8:] + bytes([0] * 4 + [9, 0, 0, 0]) +
                   struct.pack(">I", 24) + SAS))]

    shake, serve, read = b"\x0b", b"\2", b"\3\xff"
    read_keys, write = b"\x01\x00\x00\x18\x05", b"\x11\x00\x00\x18\x11"
    found["conn"] = [flags + shake + steps for flags in (b"\0", b"\1", b"\2") for steps in (
        serve + read_keys + serve + read, write + serve + read + b"\4" + serve,
        b"\x01\4\x20\0\0" * 6 + serve + read + serve, b"\x81\0\0\x18\x08" + serve + b"\x8b" + serve,
        b"\x11\0\2\x58\x07" + b"\7" + serve, read_keys + b"\x16" + serve + b"\6" + serve,
        b"\x10\5\x5e\0\0\0\0" + serve + b"\5", b"\x30\x10\x09" + cdb(0x5e, 0, 0, 8) + serve,
        b"\x91\0\x01\xf4\x05" + b"\x7c\x7c" + serve + b"\x0a", write + b"\x08" + serve + b"\x09")]
    return found
