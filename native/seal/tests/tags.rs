//! Completeness of the shadow's tests: what a program touches that has a tag, the engine is told of, however the tests are placed and merged.
//!
//! *By counting.* Generated programs of every kind of instruction run with random tags, once translated an instruction at a time (nothing
//! can be moved or merged then) and once as usual. Tagged reads must be as many, and the tags that are left the same; a program must do
//! what it does natively.
//!
//! *By place.* Programs whose addresses move (`traced/moving.rs`) are stepped natively, so each access is known. For each one byte of it gets
//! a tag, or all but that one, or its neighbours do: the engine must be entered at every instruction that touches a tag, and wherever it is
//! entered, registers, memory and the flags that are read later on must be what they are natively at that instruction. Without tags it
//! must not be entered.
//!
//! ```text
//!   MODE=shadow COUNT=n SEED=n ONLY=n TRACE=1 cargo test --release --test tags -- --nocapture
//! ```

mod generate;
mod inside;
mod traced;

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, OnceLock};

use iced_x86::FlowControl;

use generate::Dice;
use generate::form::{self, Place};
use generate::processor;
use generate::program::{Author, Kind, Text, Wish};
use generate::world::{self, World};
use inside::Inside;
use seal::{abi, shadow, sys};

const COUNT: u64 = 400;
const SEED: u64 = 2008;
const PIECE_BYTES: u64 = 64;

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")))
}

// One piece of memory in four has tags: one byte's, or all.
fn tag(dice: &mut Dice) {
    for region in world::regions() {
        shadow::set_tags(region.begin, region.bytes, 0);
        for piece in (region.begin..region.end()).step_by(PIECE_BYTES as usize) {
            match dice.below(8) {
                0 => shadow::set_tags(piece + dice.below(PIECE_BYTES), 1, 1),
                1 => shadow::set_tags(piece, PIECE_BYTES, 2),
                _ => {}
            }
        }
    }
}

fn tags() -> Vec<u8> {
    world::regions()
        .iter()
        .flat_map(|region| sys::octets(shadow::tags_of(region.begin), region.bytes as usize).to_vec())
        .collect()
}

// There is one world in this process, and it is made before the engine.
fn one_at_a_time() -> MutexGuard<'static, ()> {
    static LOCK: Mutex<()> = Mutex::new(());
    LOCK.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

// Those that this processor has; it takes a while.
fn kinds(world: &mut World, seed: u64) -> Vec<Kind> {
    static KINDS: OnceLock<Vec<Kind>> = OnceLock::new();
    KINDS.get_or_init(|| processor::explore(world, seed, "").has).clone()
}

#[test]
fn nothing_that_has_a_tag_is_touched_unseen() {
    if inside::mode() != abi::mode::SHADOW {
        return;
    }
    let seed = setting("SEED").unwrap_or(SEED);
    let only = setting("ONLY");
    let _one = one_at_a_time();
    let mut world = World::new();
    let (mut wrong, mut reads) = (0, 0);
    inside::with(inside::mode(), |inside| {
        let mut author = Author::new(kinds(&mut world, seed), Vec::new());
        generate::shuffle(&mut author.kinds, &mut Dice::new(seed, u64::MAX));
        for number in 0..setting("COUNT").unwrap_or(COUNT) {
            if !author.has_room() {
                author.rewind();
            }
            let mut dice = Dice::new(seed, number);
            world.shuffle(&mut dice);
            let wish = Wish {
                items: 3 + dice.below(20),
                faults_percent: 0,
                may_change_fs: true,
                system_calls: true,
                engine_calls: false,
                pushes_flags: true,
            };
            let program = author.write(&mut world, &mut dice, wish);
            if only.is_some_and(|o| o != number) {
                continue;
            }
            program.install(&world);
            if setting("TRACE").is_some() {
                println!("ONLY={number}");
            }
            let native = world.run_natively(program.entry);
            let mut run = |inside: &mut Inside, most: usize| {
                inside.flush();
                inside.service().with(|thread| thread.scratch.most = most);
                tag(&mut Dice::new(seed, number));
                let before = inside.context.tagged_reads;
                let outcome = world.run_inside(inside, program.entry);
                (inside.context.tagged_reads - before, tags(), world.differences(&native, &outcome))
            };
            let apart = run(inside, 1);
            let together = run(inside, usize::MAX);
            reads += together.0;
            if apart != together || !together.2.is_empty() {
                wrong += 1;
                let at: Vec<usize> = (0..apart.1.len()).filter(|&at| apart.1[at] != together.1[at]).take(8).collect();
                println!("---- SEED={seed} ONLY={number}: {} tagged reads apart, {} together", apart.0, together.0);
                println!("tags differ at {at:x?}; {:?} {:?}\n{}", apart.2, together.2, program.listing());
            }
            if wrong > 3 {
                break;
            }
        }
    });
    println!("{reads} tagged reads");
    assert!(wrong == 0 && reads != 0);
}

// ---- addresses that move

const MOVING: u64 = 900;
const MOVING_ITEMS: u64 = 40;
const AROUND: u64 = 24;

/// What the engine is to be told of, if these bytes have tags.
struct Expected {
    told: Vec<usize>, // the instructions that touch one
    reads: u64,
    left: Vec<u64>,
}

fn expect(executed: &[traced::Executed], tagged: &[u64]) -> Expected {
    let mut left: Vec<u64> = tagged.to_vec();
    let (mut told, mut reads) = (Vec::new(), 0);
    for (at, one) in executed.iter().enumerate() {
        let holds = |a: &traced::Access, byte: u64| byte.wrapping_sub(a.address) < a.bytes;
        let touched = one.accesses.iter().any(|a| left.iter().any(|&byte| holds(a, byte)));
        if touched {
            told.push(at);
            let mut accesses = one.accesses.clone();
            accesses.sort_by_key(|access| !access.reads);
            let mut read = false;
            for access in &accesses {
                read |= access.reads && left.iter().any(|&byte| holds(access, byte));
                left.retain(|&byte| access.reads || !holds(access, byte));
            }
            reads += u64::from(read);
        }
    }
    Expected { told, reads, left }
}

// Find the exits among the native states, in order; answer which these are, or what is wrong.
fn places(executed: &[traced::Executed], exits: &[traced::Exit]) -> Result<Vec<usize>, String> {
    let mut found = Vec::new();
    let mut from = 0;
    for exit in exits {
        let same = |one: &traced::Executed| {
            let (a, b) = (&one.before, &exit.state);
            let flags = one.live | traced::DIRECTION;
            a.rip == b.rip && a.regs == b.regs && a.memory == b.memory && a.flags & flags == b.flags & flags
        };
        let Some(at) = (from..executed.len()).find(|&at| same(&executed[at])) else {
            let like = executed[from..].iter().find(|one| one.before.rip == exit.state.rip);
            let natively = like.map(|one| (one.before, one.live));
            return Err(format!("an exit in a state that there never is: {:x?}, natively {natively:x?}", exit.state));
        };
        found.push(at);
        from = at + 1;
    }
    Ok(found)
}

// Whether a test at this place may have to do with these tags: nothing that lies beyond a branch is asked for before it.
fn is_meant(executed: &[traced::Executed], tagged: &[u64]) -> bool {
    const ROUNDED: u64 = 7; // how many bytes more than it must a test may look at
    let near = |access: &traced::Access| {
        tagged.iter().any(|&byte| byte.wrapping_sub(access.address).wrapping_add(ROUNDED) < access.bytes + 2 * ROUNDED)
    };
    let branches = |one: &&traced::Executed| one.instruction.flow_control() == FlowControl::ConditionalBranch;
    let end = executed.iter().position(|one| branches(&one)).map_or(executed.len(), |at| at + 1);
    executed[..end].iter().any(|one| one.accesses.iter().any(near))
}

struct Watched<'a> {
    world: &'a mut World,
    inside: &'a mut Inside,
    entry: u64,
    executed: Vec<traced::Executed>,
    native: world::Outcome,
}

impl Watched<'_> {
    // Run with tags on these bytes; answer what is wrong.
    fn run(&mut self, tagged: &[u64]) -> Result<(), String> {
        let expected = expect(&self.executed, tagged);
        tagged.iter().for_each(|&byte| shadow::set_tags(byte, 1, 1));
        let before = self.inside.context.tagged_reads;
        traced::exits();
        let outcome = self.world.run_inside(self.inside, self.entry);
        let exits = traced::exits();
        let reads = self.inside.context.tagged_reads - before;
        let left: Vec<u64> = tagged.iter().copied().filter(|&byte| shadow::any_tag(byte, 1)).collect();
        tagged.iter().for_each(|&byte| shadow::set_tags(byte, 1, 0));
        if tagged.is_empty() && exits.iter().any(|exit| exit.tagged) {
            return Err("an exit without tags".to_string());
        }
        let at = places(&self.executed, &exits)?;
        let early =
            at.iter().zip(&exits).filter(|(_, exit)| exit.tagged).find(|(at, _)| !is_meant(&self.executed[**at..], tagged));
        if let Some((at, _)) = early {
            return Err(format!("asked at {:x}, for nothing before the next branch", self.executed[*at].before.rip));
        }
        if let Some(missed) = expected.told.iter().find(|told| !at.contains(told)) {
            let state = &self.executed[*missed];
            return Err(format!("not told of {:x}, which touches {:x?}", state.before.rip, state.accesses));
        }
        let same = outcome.regs == self.native.regs && outcome.flags == self.native.flags && outcome.fault.is_none();
        if !same || outcome.memory != self.native.memory || tagged.is_empty() && outcome.vectors != self.native.vectors {
            return Err(format!("another end: {:?}", self.world.differences(&self.native, &outcome)));
        }
        if reads != expected.reads {
            return Err(format!("{reads} tagged reads instead of {}", expected.reads));
        }
        if left != expected.left {
            return Err(format!("tags are left on {left:x?} instead of {:x?}", expected.left));
        }
        Ok(())
    }

    // Without tags; then one byte of each access, all but that one, and its neighbours.
    fn all(&mut self, dice: &mut Dice) -> Result<u64, String> {
        self.run(&[])?;
        let accesses: Vec<traced::Access> = self.executed.iter().flat_map(|one| one.accesses.clone()).collect();
        let mut runs = 0;
        for access in accesses {
            let all = access.address..access.address + access.bytes;
            // The ends, where pieces are joined, more often than what is between.
            let chosen = match dice.below(3) {
                0 => all.start,
                1 => all.end - 1,
                _ => all.start + dice.below(access.bytes),
            };
            let around: Vec<u64> = (all.start - AROUND..all.end + AROUND).filter(|byte| !all.contains(byte)).collect();
            let mut sets = vec![vec![chosen]];
            if access.bytes > 1 && dice.chance(50) {
                sets.push(all.filter(|&byte| byte != chosen).collect());
            }
            if dice.chance(20) {
                sets.push(around);
            }
            for tagged in sets {
                self.run(&tagged).map_err(|wrong| format!("tags on {tagged:x?}: {wrong}"))?;
                runs += 1;
            }
        }
        Ok(runs)
    }
}

fn has_clzero() -> bool {
    core::arch::x86_64::__cpuid(0x8000_0000).eax >= 0x8000_0008 && core::arch::x86_64::__cpuid(0x8000_0008).ebx & 1 != 0
}

fn fs_base() -> u64 {
    let base: u64;
    // SAFETY: reads a register.
    unsafe { core::arch::asm!("rdfsbase {}", out(reg) base) };
    base
}

#[test]
fn every_access_is_told_of_where_it_is() {
    if inside::mode() != abi::mode::SHADOW {
        return;
    }
    let seed = setting("SEED").unwrap_or(SEED);
    let only = setting("ONLY");
    let _one = one_at_a_time();
    let mut world = World::new();
    let (mut wrong, mut runs, mut instructions, mut abandoned) = (0, 0, 0, 0);
    inside::with(inside::mode(), |inside| {
        for number in 0..setting("COUNT").unwrap_or(MOVING) {
            if only.is_some_and(|o| o != number) {
                continue;
            }
            let mut dice = Dice::new(seed, number);
            world.shuffle(&mut dice);
            let base = generate::world::CODE[dice.below(3) as usize].begin + 0x100 + dice.below(64);
            let avx512 = sys::vector_features() & 0xe0 == 0xe0;
            let moves_fs = number % 16 == 15;
            let wish = traced::moving::Wish { items: 3 + dice.below(MOVING_ITEMS), avx512, clzero: has_clzero(), moves_fs };
            let text = traced::moving::write(&mut world, &mut dice, base, fs_base(), wish);
            world.write_code(base, &text.bytes);
            let range = base..text.here() - 8; // behind it is where it leaves to
            let program = generate::program::Program { entry: base, texts: vec![text] };
            if setting("TRACE").is_some() {
                println!("ONLY={number}\n{}", program.listing());
            }
            let native = world.run_natively(base);
            if traced::run_natively(&mut world, base, range, true) != 0 {
                abandoned += 1;
                continue;
            }
            traced::keep_fs(!moves_fs);
            let (executed, unknown) = traced::executed(fs_base());
            instructions += executed.len();
            inside.flush();
            inside.service().with(|thread| {
                thread.scratch.most = if number % 8 == 7 { 1 + dice.below(12) as usize } else { usize::MAX };
            });
            let mut watched = Watched { world: &mut world, inside, entry: base, executed, native };
            let outcome = match unknown.first() {
                Some(unknown) => Err(unknown.clone()),
                None => watched.all(&mut dice),
            };
            match outcome {
                Ok(more) => runs += more,
                Err(what) => {
                    wrong += 1;
                    println!("---- SEED={seed} ONLY={number}: {what}\n{}", program.listing());
                }
            }
            if wrong > 3 {
                break;
            }
        }
    });
    println!("{runs} runs with tags, {instructions} instructions natively, {abandoned} programs abandoned");
    assert_eq!(wrong, 0);
}

// What iced says of each kind of instruction is what the engine goes by. What they read cannot be seen, what they write can.
#[test]
fn nothing_is_written_beside_what_is_known() {
    const TRIES: u64 = 3;
    if inside::mode() != abi::mode::SHADOW {
        return;
    }
    let seed = setting("SEED").unwrap_or(SEED);
    let _one = one_at_a_time();
    let mut world = World::new();
    let (mut wrong, mut seen) = (BTreeMap::new(), 0);
    inside::with(inside::mode(), |_| {
        let base = world::CODE[1].begin + 0x100;
        for kind in kinds(&mut world, seed) {
            let mut dice = Dice::new(seed, kind.code as u64);
            for number in 0..TRIES {
                let mut text = Text::new(base);
                let place = Place { region: 1, fs: None, may_change_fs: false, aligned: true, plain: number == 0 };
                if (0..60).all(|_| form::make(kind.code, &mut dice, &place).is_none_or(|form| !text.form(&form))) {
                    continue;
                }
                let end = text.here(); // of what is tried; the jump away follows
                text.leave();
                world.shuffle(&mut dice);
                world.write_code(base, &text.bytes);
                if traced::run_natively(&mut world, base, base..end + 6, true) == 0 {
                    let (_, unknown) = traced::executed(fs_base());
                    seen += 1;
                    unknown.into_iter().for_each(|what| drop(wrong.insert(format!("{:?}", kind.code), what)));
                }
            }
        }
    });
    println!("{seen} instructions");
    wrong.iter().for_each(|(code, what)| println!("{code}: {what}"));
    assert!(wrong.is_empty() && seen != 0);
}
