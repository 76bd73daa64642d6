//! What the oracle leaves out of the rules of tags: addresses, the stack, repetitions, what flags decide; and the end of the window.
//!
//! A row is an instruction, what has tags before it, and what has tags behind it: `rax` by its bytes, `[0]` by the bytes of memory from 0 on,
//! the lowest first, a letter each; a full stop is clean.

mod inside;

use iced_x86::{Decoder, DecoderOptions, InstructionInfoFactory};

use seal::abi::{self, Context, RAX, RBP, RBX, RCX, RDI, RSI, RSP};
use seal::{flow, shadow, sys};

/// Where memory lies that rows are about. Rules read no more of it than where it ends.
const MEMORY_BYTES: u64 = 64;
const DIRECTION: u64 = 0x400;
const NAMES: [&str; 16] =
    ["rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15"];

struct Row {
    what: &'static str,
    code: &'static [u8],
    values: &'static [(usize, u64)], // of registers; addresses count from the begin of memory
    down: bool,
    before: &'static str,
    after: &'static str,
}

const fn row(
    what: &'static str,
    code: &'static [u8],
    values: &'static [(usize, u64)],
    before: &'static str,
    after: &'static str,
) -> Row {
    Row { what, code, values, down: false, before, after }
}

const fn down(
    what: &'static str,
    code: &'static [u8],
    values: &'static [(usize, u64)],
    before: &'static str,
    after: &'static str,
) -> Row {
    Row { what, code, values, down: true, before, after }
}

#[rustfmt::skip]
const ROWS: &[Row] = &[
    row("mov eax,[rbx]: an address taints nothing", &[0x8b, 0x03], &[(RBX, 0)], "rbx=bbbbbbbb [0]=xyz.", "rax=xyz. rbx=bbbbbbbb [0]=xyz."),
    row("mov eax,[rbx] clears above", &[0x8b, 0x03], &[(RBX, 0)], "rax=aaaaaaaa", ""),
    row("mov ah,bl", &[0x88, 0xdc], &[], "rax=aaaa rbx=bc", "rax=abaa rbx=bc"),
    row("lea rax,[rbx+1]: a sum", &[0x48, 0x8d, 0x43, 0x01], &[], "rbx=.b", "rax=.bbbbbbb rbx=.b"),
    row("mov [rbx],al: nor is what is stored", &[0x88, 0x03], &[(RBX, 2)], "rbx=b rax=a [0]=xxxx", "rbx=b rax=a [0]=xxax"),
    row("xor eax,eax", &[0x31, 0xc0], &[], "rax=aaaaaaaa", ""),
    row("sete al: flags have no tags", &[0x0f, 0x94, 0xc0], &[], "rax=ab", "rax=.b"),
    row("cmove eax,ebx: one or the other", &[0x0f, 0x44, 0xc3], &[], "rax=a. rbx=.b", "rax=ab rbx=.b"),
    row("and eax,0xff00: what it can pass", &[0x25, 0, 0xff, 0, 0], &[], "rax=abcd", "rax=.b"),
    row("shl eax,8", &[0xc1, 0xe0, 8], &[], "rax=abcd", "rax=.abc"),
    row("shl eax,cl: by as much as it is", &[0xd3, 0xe0], &[(RCX, 16)], "rax=abcd", "rax=..ab"),
    row("push rax", &[0x50], &[(RSP, 16)], "rax=ab rsp=s [8]=........", "rax=ab rsp=s [8]=ab"),
    row("pop rax", &[0x58], &[(RSP, 8)], "rax=x [8]=...yzzzz", "rax=...yzzzz [8]=...yzzzz"),
    row("call rax: a return address is clean", &[0xff, 0xd0], &[(RSP, 16)], "rax=aaaaaaaa [8]=xxxxxxxx", "rax=aaaaaaaa"),
    row("leave: rsp is what rbp was", &[0xc9], &[(RBP, 8), (RSP, 0)], "rbp=b [8]=x", "rsp=b rbp=x [8]=x"),
    row("movsb", &[0xa4], &[(RSI, 0), (RDI, 8)], "[0]=x [8]=y", "[0]=x [8]=x"),
    row("rep movsb", &[0xf3, 0xa4], &[(RSI, 0), (RDI, 8), (RCX, 4)], "[0]=xyz.z [8]=......", "[0]=xyz.z [8]=xyz."),
    row("rep movsb onto itself repeats", &[0xf3, 0xa4], &[(RSI, 0), (RDI, 2), (RCX, 6)], "[0]=xy", "[0]=xyxyxyxy"),
    row("rep movsw onto itself, half an element on", &[0xf3, 0x66, 0xa5], &[(RSI, 0), (RDI, 1), (RCX, 2)], "[0]=xyz", "[0]=xxyy"),
    down("rep movsb downwards", &[0xf3, 0xa4], &[(RSI, 3), (RDI, 5), (RCX, 4)], "[0]=wxyz", "[0]=wxwxyz"),
    down("rep movsb downwards onto itself", &[0xf3, 0xa4], &[(RSI, 5), (RDI, 4), (RCX, 4)], "[0]=....xy", "[0]=.yyyyy"),
    row("rep movsb by a tainted count", &[0xf3, 0xa4], &[(RSI, 0), (RDI, 8), (RCX, 1)], "rcx=c", "rsi=cccccccc rdi=cccccccc"),
    row("rep movsb of nothing", &[0xf3, 0xa4], &[(RSI, 0), (RDI, 8), (RCX, 0)], "[0]=x [8]=y", "[0]=x [8]=y"),
    row("rep movsb [edi],[esi]: counted by ecx", &[0x67, 0xf3, 0xa4], &[(RSI, 0), (RDI, 8), (RCX, 0x7_0000_0001)], "[0]=x [8]=yz", "[0]=x [8]=xz"),
    row("rep stosb", &[0xf3, 0xaa], &[(RDI, 1), (RCX, 3)], "rax=a [0]=xxxxx", "rax=a [0]=xaaax"),
    row("rep stosw", &[0xf3, 0x66, 0xab], &[(RDI, 1), (RCX, 2)], "rax=a. [0]=xxxxxx", "rax=a. [0]=xa.a.x"),
    down("rep stosw downwards", &[0xf3, 0x66, 0xab], &[(RDI, 3), (RCX, 2)], "rax=a. [0]=xxxxxx", "rax=a. [0]=xa.a.x"),
    row("lodsb", &[0xac], &[(RSI, 1)], "rax=aa [0]=xy", "rax=ya [0]=xy"),
    row("xlat", &[0xd7], &[(RBX, 0), (RAX, 3)], "rax=aa rbx=b [0]=wxyz", "rax=za rbx=b [0]=wxyz"),
    row("bts [rbx],eax: beside its operand", &[0x0f, 0xab, 0x03], &[(RBX, 0), (RAX, 32)], "[0]=xxxxyyyyz", "[0]=xxxxyyyyz"),
    row("xchg al,ah", &[0x86, 0xc4], &[], "rax=ab", "rax=ba"),
];

// Tags as rows write them, of registers and of memory.
fn parse(text: &str) -> Vec<(String, Vec<u8>)> {
    let tag = |letter: u8| if letter == b'.' { 0 } else { letter };
    text.split_whitespace()
        .map(|item| item.split_once('=').expect("name=tags"))
        .map(|(name, tags)| (name.to_string(), tags.bytes().map(tag).collect()))
        .collect()
}

fn set(context: &mut Context, memory: u64, text: &str) {
    context.tags = [0; 16];
    shadow::set_tags(memory, MEMORY_BYTES, 0);
    for (name, tags) in parse(text) {
        if let Some(register) = NAMES.iter().position(|known| *known == name) {
            let mut bytes = [0; 8];
            bytes[..tags.len()].copy_from_slice(&tags);
            context.tags[register] = u64::from_le_bytes(bytes);
        } else {
            let at: u64 = name.trim_matches(['[', ']']).parse().expect("a register or [place]");
            shadow::write_tags(memory + at, &tags);
        }
    }
}

fn state(context: &Context, memory: u64) -> (abi::Registers, Vec<u8>) {
    let mut tags = vec![0; MEMORY_BYTES as usize];
    shadow::read_tags(memory, &mut tags);
    (context.tags, tags)
}

// Below 4 GiB, for addresses of 32 bits.
fn map() -> u64 {
    const MAP_32BIT: u64 = 0x40;
    let at = sys::call(sys::MMAP, [0, 4096, 3, 0x22 | MAP_32BIT, u64::MAX, 0]);
    assert!(at > 0, "mmap: {at}");
    at as u64
}

#[test]
fn rows_hold() {
    inside::with(abi::mode::SHADOW, |inside| {
        let memory = map();
        let context = &mut *inside.context;
        for row in ROWS {
            let instruction = Decoder::with_ip(64, row.code, 0x1000, DecoderOptions::NONE).decode();
            assert_eq!(instruction.len(), row.code.len(), "{}", row.what);
            context.regs = [0; 16];
            for &(register, value) in row.values {
                let is_address = matches!(register, RBX | RSP | RBP | RSI | RDI);
                context.regs[register] = if is_address { memory + value } else { value };
            }
            context.rflags = if row.down { DIRECTION } else { 0 };
            set(context, memory, row.after);
            let expected = state(context, memory);
            set(context, memory, row.before);
            let mut factory = InstructionInfoFactory::new();
            flow::follow(&instruction, factory.info(&instruction), context);
            assert_eq!(state(context, memory), expected, "{}: {} -> {}", row.what, row.before, row.after);
        }
        context.tags = [0; 16];
    });
}

// The tags of the window's first bytes stand behind its end too, whoever wrote them.
#[test]
fn tags_go_on_behind_the_end_of_the_window() {
    const END: u64 = 1 << 32;
    inside::with(abi::mode::SHADOW, |_| {
        let across = |tags: [u8; 8]| assert_eq!(sys::octets(shadow::tags_of(END - 4), 8), tags);
        shadow::write_tags(END - 4, &[1, 2, 3, 4, 5, 6, 7, 8]);
        across([1, 2, 3, 4, 5, 6, 7, 8]);
        shadow::set_tags(END - 2, 4, 9);
        across([1, 2, 9, 9, 9, 9, 7, 8]);
        shadow::set_tags(7 * END, 1, 5); // another 4 GiB, the same tags
        across([1, 2, 9, 9, 5, 9, 7, 8]);
        shadow::clear_tags(END - 4, 8);
        across([0; 8]);
    });
}
