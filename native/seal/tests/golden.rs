//! Listings of what instructions become: one file in `golden/` for each row of the table in `lower.rs`.
//!
//! A line of a listing is a host instruction, after it what is recorded of its place: the kinds of `cache::kind`, and the application's
//! address. Addresses that differ from run to run have names. `BLESS=1 cargo test --test golden` writes the files anew; look at the
//! difference before it is committed.

mod generate;
mod inside;

use iced_x86::{Decoder, DecoderOptions, Formatter, Instruction, IntelFormatter, SymbolResolver, SymbolResult};

use generate::world::{CODE, DATA, World};
use seal::abi::{self, Context};
use seal::cache::{Thread, kind};
use seal::emit::GuestPc;
use seal::sys::Locked;
use seal::transfer::{self, Through};
use seal::translate::{self, Wish, Work};
use seal::{calls, sys};

const UD2: &[u8] = &[0x0f, 0x0b]; // ends a fragment

struct Row {
    name: &'static str,
    code: Vec<u8>,
    jumped: bool,
    shadow: bool,
}

fn row(name: &'static str, code: &[u8]) -> Row {
    Row { name, code: code.to_vec(), jumped: false, shadow: false }
}

fn shadow(name: &'static str, code: &[u8]) -> Row {
    Row { shadow: true, ..row(name, code) }
}

// `opcode` and a displacement by rip to `target`.
fn by_rip(opcode: &[u8], at: u64, target: u64) -> Vec<u8> {
    let mut code = opcode.to_vec();
    let end = at + opcode.len() as u64 + 4;
    code.extend_from_slice(&(target.wrapping_sub(end) as i32).to_le_bytes());
    code
}

fn rows() -> Vec<Row> {
    let at = CODE[1].begin;
    vec![
        row("plain", &[0x48, 0x01, 0xd8]),
        row("plain-rcx", &[0x48, 0x01, 0xc8]),
        row("by-rip", &by_rip(&[0x48, 0x8b, 0x05], at, DATA[1].begin)),
        row("by-rip-far", &by_rip(&[0x48, 0x03, 0x05], at, DATA[2].begin)),
        row("jcc", &[0x74, 0x10]),
        row("loop", &[0xe2, 0x10]),
        row("jrcxz", &[0xe3, 0x10]),
        row("jmp-followed", &[0xeb, 0x00]),
        row("jmp", &by_rip(&[0xe9], at, CODE[1].begin + 0x8_0000)),
        row("call", &by_rip(&[0xe8], at, CODE[1].begin + 0x8_0000)),
        row("call-register", &[0xff, 0xd0]),
        row("call-memory", &[0xff, 0x53, 0x08]),
        row("jmp-register", &[0xff, 0xe0]),
        row("jmp-table", &[0xff, 0x24, 0xc3]),
        row("jmp-by-rip-far", &by_rip(&[0xff, 0x25], at, DATA[2].begin)),
        row("ret", &[0xc3]),
        row("jmp-by-constants", &[0x0f, 0xb6, 0xc0, 0x48, 0x8b, 0x04, 0xc5, 0, 0, 0, 0x33, 0xff, 0xe0]),
        row("call-by-constant", &[0xff, 0x15, 0xfa, 0x0f, 0x10, 0]),
        row("jmp-by-constant", &[0xff, 0x25, 0xfa, 0x0f, 0x10, 0]),
        row("ret-n", &[0xc2, 0x10, 0x00]),
        row("syscall", &[0x0f, 0x05]),
        row("fnstenv", &[0xd9, 0x30]),
        row("far", &[0x48, 0xcb]),
        Row { jumped: true, ..row("landing-jump", &[0x48, 0x01, 0xd8]) },
        row("landing-return", &[0x90]),
        shadow("shadow-load", &[0x48, 0x8b, 0x43, 0x08, 0x48, 0x01, 0xd8]), // mov rax, [rbx+8]; add rax, rbx
        shadow("shadow-flags-live", &[0x8b, 0x43, 0x08]),
        shadow("shadow-hoisted", &[0x48, 0x39, 0xd8, 0x8b, 0x53, 0x08, 0x74, 0x10]), // cmp rax, rbx; mov edx, [rbx+8]; je
        shadow("shadow-merged", &[0x8b, 0x03, 0x89, 0x53, 0x04, 0x48, 0x83, 0xc3, 0x08, 0x03, 0x43, 0xf8]),
        shadow("shadow-stack", &[0x53, 0x55, 0x48, 0x83, 0xec, 0x10, 0x48, 0x83, 0xc4, 0x10, 0x5d, 0x5b]),
        shadow("shadow-vector", &[0x0f, 0x10, 0x03, 0x48, 0x01, 0xd8]),
        shadow("shadow-repeated", &[0xf3, 0x48, 0xab]),
    ]
}

// Names for the addresses that a listing shows.
struct Names {
    service: &'static Locked<Thread>,
    begin: u64,
    end: u64,
}

impl Names {
    fn name(&self, thread: &Thread, address: u64) -> Option<String> {
        const REGISTERS: [&str; 4] = ["rax", "rcx", "rdx", "rbx"];
        let slot = thread.slot;
        let field = address.wrapping_sub(slot);
        let named = [
            (core::mem::offset_of!(Context, target), "target"),
            (core::mem::offset_of!(Context, spare), "spare"),
            (core::mem::offset_of!(Context, branch), "branch"),
            (core::mem::offset_of!(Context, issued), "issued"),
        ];
        if (self.begin..=self.end).contains(&address) {
            return Some(format!("+{:#x}", address - self.begin));
        }
        if field < 32 {
            return Some(format!("saved.{}", REGISTERS[field as usize / 8]));
        }
        if let Some((_, name)) = named.iter().find(|(offset, _)| *offset as u64 == field) {
            return Some((*name).to_string());
        }
        if (abi::SLOT_CONSTANTS..abi::SLOT_BYTES).contains(&field) {
            return Some(format!("constant {:#x}", sys::words(address, 1)[0]));
        }
        if address == calls::wanted_table() {
            return Some("wanted".to_string());
        }
        match field {
            abi::SLOT_RETURNS => return Some("returns".to_string()),
            abi::SLOT_JUMPS => return Some("jumps".to_string()),
            _ => {}
        }
        let host = seal::emit::HostPc(address);
        let arena = thread.arena_of(host)?;
        let gates = [
            (arena.return_miss, "return_miss"),
            (arena.jump_miss, "jump_miss"),
            (arena.return_elsewhere, "return_elsewhere"),
            (arena.jump_elsewhere, "jump_elsewhere"),
        ];
        if let Some((_, name)) = gates.iter().find(|(gate, _)| *gate == host) {
            return Some((*name).to_string());
        }
        if let Some(fragment) = thread.fragments.iter().find(|f| f.host == host) {
            return Some(format!("fragment {:#x}", fragment.pc.0));
        }
        let exit = thread.exits.iter().find(|e| (e.stub.0..e.stub.0 + seal::cache::STUB_BYTES).contains(&address))?;
        let inner = if address == exit.stub.0 { "" } else { ", rcx saved" };
        Some(format!("stub({:?} {:#x}{inner})", exit.kind, exit.target.0))
    }
}

impl SymbolResolver for Names {
    fn symbol(&mut self, _: &Instruction, _: u32, _: Option<u32>, address: u64, _: u32) -> Option<SymbolResult<'_>> {
        self.service.peek(|thread| self.name(thread, address)).map(|name| SymbolResult::with_string(address, name))
    }
}

fn kinds(bits: u32) -> String {
    let names = [
        (kind::VERBATIM, "verbatim"),
        (kind::RCX, "rcx"),
        (kind::RDX, "rdx"),
        (kind::TABLE, "table"),
        (kind::RETURNED, "returned"),
        (kind::TARGET, "target"),
        (kind::SCRATCH, "scratch"),
        (kind::FLAGS, "flags"),
        (kind::CALLED, "called"),
    ];
    names.iter().filter(|(bit, _)| bits & bit != 0).map(|(_, name)| *name).collect::<Vec<_>>().join(" ")
}

fn listing(service: &'static Locked<Thread>, begin: u64, end: u64) -> String {
    let mut formatter = IntelFormatter::with_options(Some(Box::new(Names { service, begin, end })), None);
    service.peek(|thread| lines(thread, begin, end, &mut formatter))
}

fn lines(thread: &Thread, begin: u64, end: u64, formatter: &mut IntelFormatter) -> String {
    let bytes = sys::octets(begin, (end - begin) as usize);
    let mut out = String::new();
    let arena = thread.arena_of(seal::emit::HostPc(begin)).expect("an arena");
    let mut decoder = Decoder::with_ip(64, bytes, begin, DecoderOptions::NONE);
    while decoder.can_decode() {
        let instruction = decoder.decode();
        let mut text = String::new();
        formatter.format(&instruction, &mut text);
        let offset = (instruction.ip() - arena.begin.0) as u32;
        let record = arena.records.iter().rev().find(|r| r.host <= offset).expect("a record");
        let behind = if record.kind() & kind::VERBATIM != 0 { u64::from(offset - record.host) } else { 0 };
        let line = format!("+{:#04x}  {text}", instruction.ip() - begin);
        out.push_str(
            &format!("{line:60} {:#x} {}", record.pc().0 + behind, kinds(record.kind())).trim_end().replace("  \n", "\n"),
        );
        out.push('\n');
    }
    out
}

fn application(code: &[u8], at: u64) -> String {
    let mut out = String::new();
    let mut decoder = Decoder::with_ip(64, code, at, DecoderOptions::NONE);
    while decoder.can_decode() {
        let instruction = decoder.decode();
        let mut text = String::new();
        IntelFormatter::new().format(&instruction, &mut text);
        out.push_str(&format!("{:#x}  {text}\n", instruction.ip()));
    }
    out
}

#[test]
fn instructions_become_what_they_did() {
    let world = World::new();
    let bless = std::env::var("BLESS").is_ok();
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let at = CODE[1].begin;
    let mut changed = Vec::new();
    // Addresses that nobody writes: a table for a jump that indexes it, and one.
    for place in [0x3300_0000, at + 0x10_1000] {
        assert_eq!(sys::call(sys::MMAP, [place, 0x1000, 3, 0x32, u64::MAX, 0]), place as i64);
        sys::set_constant(place, at + 0x8_0000);
        sys::call3(sys::MPROTECT, place, 0x1000, 1);
    }
    inside::with(abi::mode::NONE, |inside| {
        for row in rows() {
            let mut code = row.code.clone();
            code.extend_from_slice(UD2);
            world.write_code(at, &code);
            inside.flush();
            let service = inside.service();
            let (begin, end) = service.with(|thread| {
                thread.has_bmi2 = true; // the listing is this processor's neither way
                let wish = Wish {
                    pc: GuestPc(at),
                    through: row.jumped.then_some(Through::Jumps),
                    work: if row.shadow { Work::Test } else { Work::Nothing },
                    alone: false,
                    once: false,
                };
                let before = thread.arenas.last().map_or(0, |arena| arena.hot.0);
                let id = translate::translate(thread, wish).expect("a fragment");
                let fragment = &thread.fragments[id as usize];
                let (mut begin, mut end) = (fragment.host.0, fragment.end.0);
                if row.jumped {
                    begin = before.next_multiple_of(16);
                }
                if row.name == "landing-return" {
                    begin = transfer::landing_to(thread, Through::Returns, id).expect("a landing").0;
                    end = thread.arenas.last().expect("an arena").hot.0;
                }
                (begin, end)
            });
            let text = format!("{}\n{}", application(&code, at), listing(service, begin, end));
            let path = folder.join(format!("{}.txt", row.name));
            if bless {
                std::fs::create_dir_all(&folder).expect("tests/golden");
                std::fs::write(&path, &text).expect("written");
            } else if std::fs::read_to_string(&path).unwrap_or_default() != text {
                println!("---- {} is now\n{text}", row.name);
                changed.push(row.name);
            }
        }
    });
    assert!(changed.is_empty(), "not as in tests/golden: {changed:?}; BLESS=1 if it is to be so");
}
