//! Lockstep: generated programs run natively and in the engine; all that a program can see must agree afterwards.
//!
//! Registers, flags, the whole vector state, memory, and what a signal handler is told. The programs have every kind of instruction that
//! iced knows and this processor has; kinds that it lacks, and privileged ones, must raise the same signal in the same state.
//!
//! ```text
//!   cargo test --release --test lockstep -- --nocapture          a short run: every kind some times
//!   COUNT=1000000 cargo test --release --test lockstep -- …      the long one
//!   SEED=n          another run of the dice; a failure prints the seed and the program's number
//!   ONLY=n          that program alone
//!   KIND=Vpgather  the kinds whose names begin so, alone
//!   MODE=shadow     with the shadow's tests
//!   MODE=taint      with tags in memory and registers, which are followed
//!   TRACE=1         say what is about to run
//!   TABLE=1         the table by mnemonic
//! ```

mod generate;
mod inside;

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use iced_x86::{Code, Mnemonic};

use generate::Dice;
use generate::processor::{self, Processor};
use generate::program::{Author, Kind, Text, Wish};
use generate::world::{self, CODE, World};
use inside::Inside;
use seal::{shadow, sys, track};

const COUNT: u64 = 150_000;
const SEED: u64 = 2008;
/// How many disagreements are shown before the run ends.
const SHOWN_MAX: usize = 5;

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")))
}

// In taint mode: one byte in some pieces of memory, some whole pieces, and some bytes of registers have tags.
fn scatter_tags(inside: &mut Inside, dice: &mut Dice) {
    const PIECE_BYTES: u64 = 64;
    if !shadow::is_followed() {
        return;
    }
    for region in world::regions() {
        shadow::set_tags(region.begin, region.bytes, 0);
        for piece in (region.begin..region.end()).step_by(PIECE_BYTES as usize) {
            match dice.below(16) {
                0 => shadow::set_tags(piece + dice.below(PIECE_BYTES), 1, 1),
                1 => shadow::set_tags(piece, PIECE_BYTES, 2),
                _ => {}
            }
        }
    }
    let context = &mut *inside.context;
    context.tracking = 1;
    context.followed_left = 1 + dice.below(64);
    context.returns_left = 1 + dice.below(8);
    context.tags.iter_mut().for_each(|tags| *tags = if dice.below(4) == 0 { dice.next() & 0x0101_0101_0101_0101 } else { 0 });
    for tags in context.vector_tags.iter_mut() {
        tags.iter_mut().for_each(|tag| *tag = u8::from(dice.below(8) == 0));
    }
}

fn tags_of(region: world::Region) -> Vec<u8> {
    sys::octets(shadow::tags_of(region.begin), region.bytes as usize).to_vec()
}

struct Run {
    world: World,
    seed: u64,
    counts: BTreeMap<Mnemonic, u64>,
    instructions: u64,
    programs: u64,
    faults: u64,
    again: u64, // a switch of threads came between
    shown: usize,
}

impl Run {
    fn new(seed: u64) -> Run {
        Run { world: World::new(), seed, counts: BTreeMap::new(), instructions: 0, programs: 0, faults: 0, again: 0, shown: 0 }
    }

    // Run what is installed at `entry` both ways; answer whether it agrees.
    fn compare(&mut self, inside: &mut Inside, entry: u64, name: &str, listing: impl Fn() -> String) -> bool {
        if setting("TRACE").is_some() {
            println!("{name}");
        }
        self.programs += 1;
        let (mut native, mut within, mut differences);
        loop {
            let switches = switches();
            native = self.world.run_natively(entry);
            scatter_tags(inside, &mut Dice::new(self.seed, self.programs));
            within = self.world.run_inside(inside, entry);
            differences = self.world.differences(&native, &within);
            // A switch of threads loses the x87 unit's pointers: on AMD's processors the kernel's XSAVES does not store them.
            if differences.is_empty() || switches == self::switches() {
                break;
            }
            self.again += 1;
        }
        if differences.is_empty() && shadow::is_followed() {
            differences = self.differing_tags(inside, entry);
        }
        self.faults += u64::from(native.fault.is_some());
        if differences.is_empty() {
            return true;
        }
        self.shown += 1;
        println!("---- SEED={} {name}, {} differences", self.seed, differences.len());
        for line in differences.iter().take(12) {
            println!("  {line}");
        }
        if let Some(fault) = &native.fault {
            println!("  natively: signal {} at {:#x}", fault.signal, fault.words[21]);
        }
        if setting("ONLY").is_some() || self.shown == 1 {
            println!("{}", listing());
        }
        false
    }

    // Run it twice with the same tags, as translated code follows them and as `flow` says, and compare what they are afterwards.
    fn differing_tags(&mut self, inside: &mut Inside, entry: u64) -> Vec<String> {
        let mut run = |by_engine: bool| {
            track::BY_ENGINE.store(by_engine, Ordering::Relaxed);
            inside.flush();
            scatter_tags(inside, &mut Dice::new(self.seed, self.programs));
            let faulted = self.world.run_inside(inside, entry).fault.is_some();
            let memory: Vec<u8> = world::regions().iter().flat_map(|region| tags_of(*region)).collect();
            let context = &*inside.context;
            let vectors = context.vector_tags.as_flattened().to_vec();
            (faulted, context.tags, others(context), vectors, memory)
        };
        let (fast, slow) = (run(false), run(true));
        track::BY_ENGINE.store(false, Ordering::Relaxed);
        if fast.0 || slow.0 {
            return Vec::new(); // what was done before a fault may differ
        }
        let mut lines = Vec::new();
        for (register, (a, b)) in fast.1.iter().zip(slow.1).enumerate().filter(|(_, (a, b))| **a != *b) {
            lines.push(format!("tags of register {register}: {a:016x} in code, {b:016x} by the engine"));
        }
        for (name, (a, b)) in ["masks", "the x87 unit"].iter().zip(fast.2.iter().zip(slow.2)).filter(|(_, (a, b))| **a != *b) {
            lines.push(format!("tags of {name}: {a:016x} in code, {b:016x} by the engine"));
        }
        for at in (0..slow.3.len()).filter(|&at| fast.3[at] != slow.3[at]) {
            lines.push(format!(
                "tag of vector {} byte {}: {} in code, {} by the engine",
                at / 64,
                at % 64,
                fast.3[at],
                slow.3[at]
            ));
        }
        for at in (0..slow.4.len()).filter(|&at| fast.4[at] != slow.4[at]) {
            lines.push(format!("tag of byte {at:#x} of memory: {} in code, {} by the engine", fast.4[at], slow.4[at]));
        }
        lines
    }

    fn programs(&mut self, inside: &mut Inside, processor: &Processor, count: u64) {
        let mut author = Author::new(processor.has.clone(), processor.faults.clone());
        generate::shuffle(&mut author.kinds, &mut Dice::new(self.seed, u64::MAX));
        let only = setting("ONLY");
        let mut number = 0;
        while !author.kinds.is_empty() && (only.is_some() || self.instructions < count || author.rounds() < 1) {
            if !author.has_room() {
                author.rewind();
                inside.flush();
            }
            let mut dice = Dice::new(self.seed, number);
            self.world.shuffle(&mut dice);
            let wish = Wish {
                items: 3 + dice.below(20),
                faults_percent: 10,
                may_change_fs: true,
                system_calls: true,
                engine_calls: true,
                pushes_flags: true,
            };
            let program = author.write(&mut self.world, &mut dice, wish);
            for text in &program.texts {
                for code in &text.codes {
                    *self.counts.entry(code.mnemonic()).or_default() += 1;
                }
                self.instructions += text.codes.len() as u64;
            }
            if only.is_none_or(|o| o == number) {
                program.install(&self.world);
                self.compare(inside, program.entry, &format!("ONLY={number}"), || program.listing());
            }
            if self.shown >= SHOWN_MAX || only.is_some_and(|o| o == number) {
                break;
            }
            number += 1;
        }
    }

    // One instruction that raises a signal: the same one, in the same state.
    fn refused(&mut self, inside: &mut Inside, kinds: &[Kind]) -> usize {
        let mut base = CODE[1].begin;
        inside.flush();
        let mut compared = 0;
        for kind in kinds {
            for number in 0..2 {
                let mut dice = Dice::new(self.seed, kind.code as u64 * 2 + number);
                self.world.shuffle(&mut dice);
                if base + 0x1000 > CODE[1].end() {
                    base = CODE[1].begin;
                    inside.flush();
                }
                let mut text = Text::new(base);
                let place = generate::form::Place { region: 1, fs: None, may_change_fs: true, aligned: true, plain: number == 0 };
                let made =
                    (0..200).find_map(|_| generate::form::make(kind.code, &mut dice, &place).filter(|form| text.form(form)));
                if made.is_none() {
                    continue;
                }
                text.leave();
                self.world.write_code(base, &text.bytes);
                let entry = base;
                base = text.here();
                let program = generate::program::Program { entry, texts: vec![text] };
                self.compare(inside, entry, &format!("{:?}", kind.code), || program.listing());
                compared += 1;
                if self.shown >= SHOWN_MAX {
                    return compared;
                }
            }
        }
        compared
    }
}

fn mnemonics<'a>(codes: impl IntoIterator<Item = &'a Code>) -> String {
    let mut names: Vec<String> = codes.into_iter().map(|c| format!("{:?}", c.mnemonic()).to_lowercase()).collect();
    names.sort();
    names.dedup();
    names.join(" ")
}

fn describe(processor: &Processor) {
    println!(
        "kinds: {} that this processor has, {} that raise a signal in user mode, {} that it lacks, {} transfers",
        processor.has.len(),
        processor.faults.len(),
        processor.lacks.len(),
        processor.transfers.len()
    );
    println!("raise a signal: {}", mnemonics(processor.faults.iter().map(|k| &k.code)));
    println!("lacks: {}", mnemonics(processor.lacks.iter().map(|k| &k.code)));
    for (reason, codes) in &processor.skipped {
        println!("not compared, {reason}: {}", mnemonics(codes));
    }
}

#[test]
fn generated_programs_agree() {
    pin();
    let seed = setting("SEED").unwrap_or(SEED);
    let count = setting("COUNT").unwrap_or(COUNT);
    let mut run = Run::new(seed);
    inside::with(inside::mode(), |inside| {
        let processor = processor::explore(&mut run.world, seed, &std::env::var("KIND").unwrap_or_default());
        describe(&processor);
        if setting("ONLY").is_none() {
            let refused = run.refused(inside, &processor.lacks) + run.refused(inside, &processor.faults);
            println!("{refused} refusals compared");
            inside.flush();
        }
        run.programs(inside, &processor, count);
        println!(
            "SEED={seed}: {} programs, {} instructions of {} mnemonics, {} ended by a signal; {} run again; {} fragments, {} flushes",
            run.programs,
            run.instructions,
            run.counts.len(),
            run.faults,
            run.again,
            inside.context.fragments,
            inside.context.flushes
        );
        if setting("TABLE").is_some() {
            for (mnemonic, count) in &run.counts {
                println!("{:20} {count}", format!("{mnemonic:?}").to_lowercase());
            }
        }
        let missing: Vec<Code> =
            processor.has.iter().map(|k| k.code).filter(|c| !run.counts.contains_key(&c.mnemonic())).collect();
        if setting("ONLY").is_none() && run.shown == 0 {
            assert!(missing.is_empty(), "had no turn: {}", mnemonics(&missing));
        }
        assert_eq!(run.shown, 0, "programs disagree");
    });
}

// The tags of mask registers, and of the x87 unit.
fn others(context: &seal::abi::Context) -> [u64; 9] {
    core::array::from_fn(|at| context.mask_tags.get(at).copied().unwrap_or(u64::from_le_bytes(context.x87_tags)))
}

// How often this thread has been switched away from.
fn switches() -> [u64; 2] {
    const GETRUSAGE: u64 = 98;
    const RUSAGE_THREAD: u64 = 1;
    let mut usage = [0u64; 18];
    seal::sys::call3(GETRUSAGE, RUSAGE_THREAD, usage.as_mut_ptr() as u64, 0);
    [usage[16], usage[17]]
}

// cpuid and rdpid answer differently on another processor.
fn pin() {
    const SCHED_GETAFFINITY: u64 = 204;
    const SCHED_SETAFFINITY: u64 = 203;
    let mut mask = [0u64; 16];
    seal::sys::call(SCHED_GETAFFINITY, [0, 128, mask.as_mut_ptr() as u64, 0, 0, 0]);
    let at = mask.iter().position(|&w| w != 0).expect("a processor");
    let one = mask[at] & mask[at].wrapping_neg();
    mask = [0; 16];
    mask[at] = one;
    seal::sys::call(SCHED_SETAFFINITY, [0, 128, mask.as_ptr() as u64, 0, 0, 0]);
}
