//! What this processor has: every kind of instruction that iced knows is tried, natively, with its signals caught.

use std::collections::BTreeMap;

use iced_x86::Code;

use super::Dice;
use super::form::{self, Place};
use super::program::{Kind, Text};
use super::world::{CODE, World};

const SIGILL: u64 = 4;
const TRIES: usize = 60;

/// What became of trying all of iced's kinds.
pub struct Processor {
    pub has: Vec<Kind>,
    pub faults: Vec<Kind>, // raise a signal other than SIGILL in user mode: privileged, or traps
    pub lacks: Vec<Kind>,  // SIGILL
    pub skipped: BTreeMap<&'static str, Vec<Code>>, // not to be compared, by reason
    pub transfers: Vec<Code>, // programs have them
}

/// Try everything, or the kinds whose names begin so. The seed decides about operands alone.
pub fn explore(world: &mut World, seed: u64, names: &str) -> Processor {
    let mut found =
        Processor { has: Vec::new(), faults: Vec::new(), lacks: Vec::new(), skipped: BTreeMap::new(), transfers: Vec::new() };
    for code in Code::values().filter(|c| format!("{c:?}").starts_with(names)) {
        if let Some(reason) = form::excluded(code) {
            found.skipped.entry(reason).or_default().push(code);
            continue;
        }
        if form::is_transfer(code) {
            found.transfers.push(code);
            continue;
        }
        let mut dice = Dice::new(seed, code as u64);
        let answers: Vec<_> = (0..3).map(|_| attempt(world, &mut dice, code, true)).collect();
        if answers.iter().all(|a| matches!(a, Attempt::Impossible)) {
            found.skipped.entry("iced cannot encode it in 64-bit mode").or_default().push(code);
        } else if answers.iter().any(|a| matches!(a, Attempt::Ran)) {
            let aligned = (0..6).any(|_| matches!(attempt(world, &mut dice, code, false), Attempt::Fault(f) if f != SIGILL));
            found.has.push(Kind { code, aligned, faults: false });
        } else if answers.iter().any(|a| matches!(a, Attempt::Fault(f) if *f != SIGILL)) {
            found.faults.push(Kind { code, aligned: true, faults: true });
        } else {
            found.lacks.push(Kind { code, aligned: true, faults: true });
        }
    }
    found
}

enum Attempt {
    Impossible,
    Ran,
    Fault(u64), // the signal
}

fn attempt(world: &mut World, dice: &mut Dice, code: Code, aligned: bool) -> Attempt {
    let place = Place { region: 1, fs: None, may_change_fs: true, aligned, plain: true };
    let base = CODE[1].begin;
    for _ in 0..TRIES {
        let mut text = Text::new(base);
        let Some(form) = form::make(code, dice, &place) else { continue };
        if !text.form(&form) {
            continue;
        }
        text.leave();
        world.shuffle(dice);
        world.write_code(base, &text.bytes);
        return match world.run_natively(base).fault {
            None => Attempt::Ran,
            Some(fault) => Attempt::Fault(fault.signal),
        };
    }
    Attempt::Impossible
}
