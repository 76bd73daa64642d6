//! The bit-flip oracle: the processor says which outputs depend on which inputs, and what depends must have a tag.
//!
//! Each form of each kind of instruction runs natively from some state, then again and again with one byte of its inputs changed. An output
//! byte that comes out otherwise depends on that byte; `flow::follow`, told that this byte alone has a tag, must have given it one. What has
//! a tag and has never come out otherwise is counted: an upper bound of what is tagged needlessly, since some changes need rare values.
//!
//! Left out as inputs: flags (rflags, the status words of x87 and SSE) and registers that addresses, counts of repetitions, or bits' places
//! in memory are made of: these are rules of their own. Besides what iced says is read, some other bytes are changed each time: nobody's
//! word is taken for what an instruction reads.
//!
//! ```text
//!   cargo test --release --test oracle -- --nocapture
//!   COUNT=n         forms of each kind
//!   SEED=n          another run of the dice
//!   KIND=Vpgather   the kinds whose names begin so, alone
//!   TABLE=1         the table by mnemonic
//!   BLESS=1         writes it to docs/taint-oracle.md
//! ```

mod cells;
mod generate;
mod inside;

use std::collections::BTreeMap;
use std::fmt::Write;

use iced_x86::{
    Decoder, DecoderOptions, Formatter, Instruction, InstructionInfo, InstructionInfoFactory, IntelFormatter, Mnemonic, OpAccess,
    OpKind, Register,
};

use cells::{Layout, MEMORY_CELLS, Windows, address_of, cells_of, clear_tags, name, read_tags, set_tag};
use generate::Dice;
use generate::form::{self, Form, Place};
use generate::processor;
use generate::program::{Kind, Text};
use generate::world::{self, CODE, World};
use seal::abi::{self, Context};
use seal::{flow, shadow, sys};

const COUNT: u64 = 1;
const SEED: u64 = 2008;
const STATES: u64 = 5; // that each form begins in
const CHANGES: usize = 2; // of each byte in each state
const OTHERS: usize = 6; // bytes that are changed though nobody says that they are read
const SHOWN_MAX: usize = 40;
const SHOWN_EACH_MAX: u64 = 2; // of one form
const ZERO_FLAG: u64 = 0x40;
const AROUND: u64 = 16; // bytes before and behind an operand in memory that are looked at too

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")))
}

// ---- the rules, asked as the engine asks them: vectors and x87's registers being the application's

unsafe extern "C" {
    fn oracle_judge();
}
#[rustfmt::skip]
core::arch::global_asm!(
    ".globl oracle_judge", "oracle_judge:", "cld", "mov rsp, [rip+world_frame+{stack}]", "and rsp, -64", "call {judge}", "jmp world_store",
    stack = const core::mem::offset_of!(world::Frame, stack), judge = sym judge,
);

static mut QUESTION: Option<(*const Instruction, *const InstructionInfo, *mut Context)> = None;

extern "C" fn judge() {
    // SAFETY: `ask` has put it there, and waits.
    unsafe {
        let (instruction, info, context) = QUESTION.expect("a question");
        flow::follow(&*instruction, &*info, &mut *context);
    }
}

fn ask(instruction: &Instruction, info: &InstructionInfo, context: &mut Context) {
    let frame = world::frame();
    context.regs = frame.before.regs;
    context.rflags = frame.before.flags;
    context.vectors_in_context = 1;
    for (register, bytes) in context.xmm.0.iter_mut().zip(frame.before.vectors[160..416].as_chunks::<16>().0) {
        let word = u128::from_le_bytes(*bytes);
        *register = [word as u64, (word >> 64) as u64];
    }
    frame.entry = oracle_judge as *const () as u64;
    // SAFETY: one thread; the harness keeps what a function must.
    unsafe {
        QUESTION = Some((instruction, info, context));
        core::mem::transmute::<u64, extern "C" fn()>(world::harness())();
    }
}

// ---- one form

/// A form in code, as the engine would see it.
struct Subject {
    instruction: Instruction,
    setup: u64, // code that makes a state in which it works
    alone: u64, // code that is the instruction alone
    windows: Windows,
    inputs: Vec<usize>, // cells
}

// Flags in memory: the trap flag among them would do more than flow.
fn is_excluded(mnemonic: Mnemonic) -> bool {
    matches!(mnemonic, Mnemonic::Popf | Mnemonic::Popfq)
}

// What in an image says where the rest belongs.
fn control_words(instruction: &Instruction) -> &'static [(u64, u64)] {
    match instruction.mnemonic() {
        Mnemonic::Fxrstor | Mnemonic::Fxrstor64 | Mnemonic::Xrstor | Mnemonic::Xrstor64 => &[(0, 32), (512, 576)],
        Mnemonic::Frstor if instruction.memory_size().size() == 94 => &[(0, 14)],
        Mnemonic::Frstor => &[(0, 28)],
        _ => &[],
    }
}

// Whether a comparison decides what is written: that is a flag, and where it comes out otherwise nothing is to be learnt.
fn compares(mnemonic: Mnemonic) -> bool {
    // bsf and bsr leave their output where there is no bit to be found.
    matches!(mnemonic, Mnemonic::Cmpxchg | Mnemonic::Cmpxchg8b | Mnemonic::Cmpxchg16b | Mnemonic::Bsf | Mnemonic::Bsr)
}

fn is_read(access: OpAccess) -> bool {
    matches!(access, OpAccess::Read | OpAccess::CondRead | OpAccess::ReadWrite | OpAccess::ReadCondWrite)
}

// Registers that say where, or how often, and not what.
fn addresses(instruction: &Instruction) -> Vec<Register> {
    let mut all = vec![instruction.memory_base(), instruction.memory_index(), Register::RSP];
    if instruction.is_save_restore_instruction() {
        all.extend([Register::RAX, Register::RDX]);
    }
    if instruction.is_string_instruction() {
        all.extend([Register::RSI, Register::RDI, Register::RCX]);
    }
    // A mask decides what a move lets go, as a flag does.
    if instruction.has_op_mask() && flow::is_vector_move(instruction.mnemonic()) {
        all.push(instruction.op_mask());
    }
    match instruction.mnemonic() {
        Mnemonic::Xlatb => all.extend([Register::RBX, Register::RAX]),
        Mnemonic::Maskmovq | Mnemonic::Maskmovdqu | Mnemonic::Vmaskmovdqu => all.push(Register::RDI),
        Mnemonic::Clzero | Mnemonic::Monitorx => all.push(Register::RAX),
        Mnemonic::Movdir64b => all.push(instruction.op0_register()),
        Mnemonic::Enter | Mnemonic::Leave => all.push(Register::RBP),
        Mnemonic::Bt | Mnemonic::Bts | Mnemonic::Btr | Mnemonic::Btc if instruction.op0_kind() == OpKind::Memory => {
            all.push(instruction.op1_register());
        }
        _ => {}
    }
    if instruction.mnemonic() == Mnemonic::Lea {
        all = vec![Register::RSP];
    }
    all.into_iter().map(Register::full_register).collect()
}

fn inputs(instruction: &Instruction, info: &InstructionInfo, windows: &Windows, dice: &mut Dice) -> Vec<usize> {
    let addresses = addresses(instruction);
    let mut cells: Vec<usize> = Vec::new();
    for used in info.used_registers().iter().filter(|used| !addresses.contains(&used.register().full_register())) {
        let all = cells_of(used.register());
        // Of what is written alone, some: it must not matter.
        cells.extend(all.filter(|_| is_read(used.access()) || dice.chance(10)));
    }
    let free: Vec<usize> = (0..MEMORY_CELLS)
        .filter(|cell| !addresses.iter().any(|&register| register != Register::None && cells_of(register).contains(cell)))
        .collect();
    cells.extend((0..OTHERS).map(|_| dice.pick(&free)));
    let bytes: u64 = windows.iter().map(|window| window.1).sum();
    let read: Vec<bool> = (MEMORY_CELLS..MEMORY_CELLS + bytes as usize)
        .map(|cell| address_of(cell, windows))
        .map(|at| windows.iter().any(|&(begin, bytes)| (begin + AROUND..begin + bytes - AROUND).contains(&at)))
        .collect();
    let control = control_words(instruction);
    let operand = windows.first().map_or(0, |window| window.0 + AROUND);
    let read: Vec<bool> = read
        .iter()
        .enumerate()
        .map(|(at, &read)| {
            let offset = address_of(MEMORY_CELLS + at, windows).wrapping_sub(operand);
            read && !control.iter().any(|&(begin, end)| (begin..end).contains(&offset))
        })
        .collect();
    let many = read.iter().filter(|&&read| read).count() > 160;
    cells.extend((0..read.len()).filter(|&at| read[at] && (!many || dice.chance(15))).map(|at| MEMORY_CELLS + at));
    cells.sort_unstable();
    cells.dedup();
    cells
}

// ---- the count

#[derive(Default)]
struct Line {
    forms: u64,
    runs: u64,
    tagged: u64, // pairs of an input byte and an output byte that has a tag for it
    over: u64,   // of those, which never changed together
    under: u64,  // pairs that changed together without a tag
}

struct Oracle {
    world: World,
    layout: Layout,
    seed: u64,
    lines: BTreeMap<String, Line>,
    untried: Vec<String>,
    shown: usize,
}

const BASE: u64 = CODE[1].begin;

impl Oracle {
    fn run(&self, entry: u64, start: &[u8], windows: &Windows, end: &mut Vec<u8>) -> bool {
        let frame = world::frame();
        self.layout.write(&mut frame.before, windows, start);
        frame.fault.count = 0;
        frame.entry = entry;
        // SAFETY: a function of no arguments that keeps what a function must.
        unsafe { core::mem::transmute::<u64, extern "C" fn()>(world::harness())() };
        self.layout.read(&frame.after, windows, end);
        frame.fault.count == 0
    }

    // Let the world be as it is when the instruction is about to execute; answer whether that worked.
    fn set_up(&mut self, setup: u64, dice: &mut Dice) -> bool {
        self.world.shuffle(dice);
        let outcome = self.world.run_natively(setup);
        self.world.native_handlers(true);
        if outcome.fault.is_some() {
            return false;
        }
        let before = &mut world::frame().before;
        before.regs = outcome.regs;
        before.flags = outcome.flags;
        before.vectors.copy_from_slice(&outcome.vectors);
        // What was not in use is to be in use: its cells are written.
        let used = world::ALL_FEATURES & sys::vector_features();
        before.vectors[512..520].copy_from_slice(&used.to_le_bytes());
        before.vectors[520..576].fill(0);
        self.world.pristine.copy_from_slice(&outcome.memory);
        self.world.reset();
        true
    }

    fn write(&self, form: &Form) -> Option<(Instruction, u64, u64)> {
        let mut text = Text::new(BASE);
        if !form.before.iter().all(|instruction| text.instruction(instruction)) {
            return None;
        }
        text.leave();
        let alone = text.here();
        if !text.instruction(&form.instruction) {
            return None;
        }
        let bytes = &text.bytes[(alone - BASE) as usize..];
        let instruction = Decoder::with_ip(64, bytes, alone, DecoderOptions::NONE).decode();
        text.leave();
        self.world.write_code(BASE, &text.bytes);
        Some((instruction, BASE, alone))
    }

    fn subject(&mut self, kind: &Kind, dice: &mut Dice, plain: bool) -> Option<(Subject, InstructionInfoFactory)> {
        let place = Place { region: 1, fs: None, may_change_fs: true, aligned: kind.aligned || dice.chance(50), plain };
        let (instruction, setup, alone) =
            (0..60).find_map(|_| form::make(kind.code, dice, &place).and_then(|form| self.write(&form)))?;
        let mut dice_of_state = dice.clone();
        if !self.set_up(setup, &mut dice_of_state) {
            return None;
        }
        let mut factory = InstructionInfoFactory::new();
        let info = factory.info(&instruction);
        let frame = world::frame();
        let value =
            |register: Register, element: usize, bytes: usize| value(&self.layout, &frame.before, register, element, bytes);
        let mut windows = Windows::new();
        for memory in info.used_memory() {
            let elements = if memory.vsib_size() == 0 { 1 } else { memory.index().size() / memory.vsib_size() as usize };
            let bytes = match memory.memory_size().size() as u64 {
                0 if instruction.is_string_instruction() => 12 * instruction.memory_size().size() as u64,
                0 => sys::vector_bytes(),
                bytes => bytes,
            };
            for element in 0..elements {
                let at = memory.virtual_address(element, value)?.wrapping_add(shadow::beside(&instruction, |r| value(r, 0, 0)));
                let around = if instruction.is_string_instruction() { bytes } else { 0 };
                windows.push((at - around - AROUND, bytes + 2 * (AROUND + around)));
            }
        }
        windows.sort_unstable();
        // Windows that touch are one.
        let mut joined = Windows::new();
        for (begin, bytes) in windows {
            match joined.last_mut() {
                Some(last) if begin <= last.0 + last.1 => last.1 = last.1.max(begin + bytes - last.0),
                _ => joined.push((begin, bytes)),
            }
        }
        joined.retain(|&(begin, bytes)| world::regions().iter().any(|r| r.holds(begin) && r.holds(begin + bytes)));
        let inputs = inputs(&instruction, info, &joined, dice);
        Some((Subject { instruction, setup, alone, windows: joined, inputs }, factory))
    }

    // Change each input byte; answer how often that was done.
    fn examine(&mut self, kind: &Kind, context: &mut Context, dice: &mut Dice, plain: bool) -> Option<u64> {
        let (subject, mut factory) = self.subject(kind, dice, plain)?;
        let Subject { instruction, windows, inputs, .. } = &subject;
        let info = factory.info(instruction);
        let cells = MEMORY_CELLS + windows.iter().map(|window| window.1 as usize).sum::<usize>();
        let mut changed = vec![false; cells * inputs.len()];
        let mut tagged = vec![false; cells * inputs.len()];
        let (mut start, mut end, mut other, mut tags) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let (mut runs, mut under) = (0, 0);
        for _ in 0..STATES {
            if !self.set_up(subject.setup, dice) {
                continue;
            }
            let frame = world::frame();
            self.layout.read(&frame.before, windows, &mut start);
            if !self.run(subject.alone, &start, windows, &mut end) {
                continue;
            }
            let flags = frame.after.flags;
            for (at, &input) in inputs.iter().enumerate() {
                clear_tags(context, windows);
                set_tag(context, input, windows);
                // Memory that decides how often something is repeated is read by the rules.
                self.layout.write(&mut frame.before, windows, &start);
                ask(instruction, info, context);
                read_tags(context, windows, &mut tags);
                let row = at * cells..(at + 1) * cells;
                tagged[row.clone()].iter_mut().zip(&tags).for_each(|(all, &tag)| *all |= tag != 0);
                for turn in 0..CHANGES {
                    let change =
                        if turn == 0 { 1 << dice.below(8) } else { dice.pick(&[0xff, 0x80, 1, dice_byte(dice.clone())]) };
                    start[input] ^= change;
                    let worked = self.run(subject.alone, &start, windows, &mut other);
                    runs += 1;
                    let row = &mut changed[row.clone()];
                    let mut missing = None;
                    let same = !compares(instruction.mnemonic()) || (frame.after.flags ^ flags) & ZERO_FLAG == 0;
                    if worked && same && end != other {
                        for cell in 0..cells {
                            if end[cell] != other[cell] {
                                row[cell] = true;
                                if tags[cell] == 0 {
                                    missing.get_or_insert(cell);
                                }
                            }
                        }
                    }
                    start[input] ^= change;
                    let Some(cell) = missing else { continue };
                    let again = self.reproduces(&subject, &mut start, (input, change), cell);
                    if again {
                        under += 1;
                        if under > SHOWN_EACH_MAX {
                            continue;
                        }
                        self.show(kind, &subject, input, cell, (end[cell], other[cell]));
                    }
                }
            }
        }
        clear_tags(context, windows);
        if runs == 0 {
            return None; // it only faults
        }
        let line = self.lines.entry(format!("{:?}", kind.code.mnemonic()).to_lowercase()).or_default();
        line.forms += 1;
        line.runs += runs;
        line.under += under;
        line.tagged += tagged.iter().filter(|&&t| t).count() as u64;
        line.over += tagged.iter().zip(&changed).filter(|&(&t, &c)| t && !c).count() as u64;
        Some(runs)
    }

    // A switch of threads may lose what the x87 unit remembers.
    fn reproduces(&self, subject: &Subject, start: &mut [u8], (input, change): (usize, u8), cell: usize) -> bool {
        let (mut end, mut other) = (Vec::new(), Vec::new());
        (0..3).all(|_| {
            self.run(subject.alone, start, &subject.windows, &mut end);
            start[input] ^= change;
            self.run(subject.alone, start, &subject.windows, &mut other);
            start[input] ^= change;
            end[cell] != other[cell]
        })
    }

    fn show(&mut self, kind: &Kind, subject: &Subject, input: usize, cell: usize, (was, is): (u8, u8)) {
        self.shown += 1;
        if self.shown > SHOWN_MAX {
            return;
        }
        let mut text = String::new();
        IntelFormatter::new().format(&subject.instruction, &mut text);
        let (input, cell) = (name(input, &subject.windows), name(cell, &subject.windows));
        println!("SEED={} KIND={:?}: {text}: {cell} depends on {input} ({was:#x}, {is:#x})", self.seed, kind.code);
    }

    fn all(&mut self, kinds: &[Kind], context: &mut Context) {
        self.world.native_handlers(true);
        world::frame().gs_free = 1;
        for kind in kinds.iter().filter(|kind| !is_excluded(kind.code.mnemonic())) {
            let mut tried = 0;
            if setting("TRACE").is_some() {
                println!("{:?}", kind.code);
            }
            for number in 0..setting("COUNT").unwrap_or(COUNT) {
                let mut dice = Dice::new(self.seed, kind.code as u64 + (number << 16));
                let plain = dice.chance(40);
                tried += (0..20).find_map(|_| self.examine(kind, context, &mut dice, plain)).unwrap_or(0);
            }
            if tried == 0 {
                self.untried.push(format!("{:?}", kind.code));
            }
        }
        self.world.native_handlers(false);
    }

    fn table(&self) -> String {
        let mut out = String::from("| mnemonic | forms | runs | not tagged | never seen to depend |\n|---|---|---|---|---|\n");
        for (mnemonic, line) in &self.lines {
            let percent = line.over * 100 / line.tagged.max(1);
            writeln!(out, "| {mnemonic} | {} | {} | {} | {percent} % |", line.forms, line.runs, line.under).unwrap();
        }
        out
    }

    fn page(&self, summary: &str) -> String {
        let brand: Vec<u8> = (0x8000_0002..=0x8000_0004)
            .map(core::arch::x86_64::__cpuid)
            .flat_map(|part| [part.eax, part.ebx, part.ecx, part.edx])
            .flat_map(u32::to_le_bytes)
            .filter(|&byte| byte != 0)
            .collect();
        format!(
            "# What the processor says of the rules of taint\n\nMade by `BLESS=1 cargo test --release --test oracle` in `native/seal`; \
             what it does stands at the top of `native/seal/tests/oracle.rs`, the rules in `native/seal/src/flow/table.rs`. \
             A *pair* is a byte that goes in and a byte that comes out. *Not tagged*: pairs that changed together, the second without a tag; \
             the test fails if there is one. *Never seen to depend*: of the pairs that are tagged, those that never changed together, \
             which is an upper bound of what is tagged without need: carries that run far, saturation, and elements that a mask \
             leaves out are rare among some dozens of runs.\n\nProcessor: {}. {summary}\n\n{}",
            String::from_utf8_lossy(&brand).trim(),
            self.table()
        )
    }
}

fn dice_byte(mut dice: Dice) -> u8 {
    dice.below(255) as u8 + 1
}

// What a register holds at the begin of a state; of a vector register, one element.
fn value(layout: &Layout, state: &world::State, register: Register, element: usize, bytes: usize) -> Option<u64> {
    if register.is_segment_register() {
        return Some(if register == Register::FS { sys::fs_base() } else { 0 });
    }
    let mut cells = Vec::new();
    layout.read(state, &Windows::new(), &mut cells);
    let first = cells_of(register.full_register()).start + element * bytes;
    let bytes = if register.is_gpr() { register.size() } else { bytes };
    let mut word = [0; 8];
    word[..bytes].copy_from_slice(&cells[first..first + bytes]);
    Some(u64::from_le_bytes(word))
}

#[test]
fn what_depends_has_a_tag() {
    let seed = setting("SEED").unwrap_or(SEED);
    let mut oracle =
        Oracle { world: World::new(), layout: Layout::new(), seed, lines: BTreeMap::new(), untried: Vec::new(), shown: 0 };
    inside::with(abi::mode::SHADOW, |inside| {
        let began = std::time::Instant::now();
        let kinds = processor::explore(&mut oracle.world, seed, &std::env::var("KIND").unwrap_or_default()).has;
        println!("{} kinds, explored in {:?}", kinds.len(), began.elapsed());
        oracle.all(&kinds, inside.context);
        println!("{:?}", began.elapsed());
    });
    let sum = |field: fn(&Line) -> u64| oracle.lines.values().map(field).sum::<u64>();
    if setting("TABLE").is_some() {
        print!("{}", oracle.table());
    }
    let summary = format!(
        "SEED={seed}: {} mnemonics, {} forms, {} runs; {} pairs of bytes tagged, {} of them never seen to depend, {} not tagged that do.",
        oracle.lines.len(),
        sum(|l| l.forms),
        sum(|l| l.runs),
        sum(|l| l.tagged),
        sum(|l| l.over),
        sum(|l| l.under)
    );
    println!("{summary}");
    if setting("BLESS").is_some() {
        let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/taint-oracle.md");
        std::fs::write(page, oracle.page(&summary)).expect("the page is written");
    }
    println!("not tried: {}", oracle.untried.join(" "));
    assert!(oracle.untried.is_empty(), "had no turn");
    assert_eq!(sum(|l| l.under), 0, "what depends has no tag");
    assert!(sum(|l| l.tagged) != 0);
}
