//! Completeness of the shadow's tests: what a program touches that has a tag, the engine is told of, however the tests are placed and merged.
//!
//! Generated programs run with random tags, once translated an instruction at a time (nothing can be moved or merged then) and once as
//! usual. Tagged reads must be as many, and the tags that are left the same; a program must do what it does natively.
//!
//! ```text
//!   MODE=shadow COUNT=n SEED=n ONLY=n TRACE=1 cargo test --release --test tags -- --nocapture
//! ```

mod generate;
mod inside;

use generate::Dice;
use generate::processor;
use generate::program::{Author, Wish};
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

#[test]
fn nothing_that_has_a_tag_is_touched_unseen() {
    if inside::mode() != abi::mode::SHADOW {
        return;
    }
    let seed = setting("SEED").unwrap_or(SEED);
    let only = setting("ONLY");
    let mut world = World::new();
    let (mut wrong, mut reads) = (0, 0);
    inside::with(inside::mode(), |inside| {
        let kinds = processor::explore(&mut world, seed, "").has;
        let mut author = Author::new(kinds, Vec::new());
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
