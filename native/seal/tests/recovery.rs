//! Recovery: wherever a thread is stopped in translated code, the application's state is exactly one that it has natively.
//!
//! A child runs a generated program natively and in the engine, one instruction at a time. At every host instruction in an arena the
//! parent asks `recover::take` what the application's state is, as a signal or a withdrawal would; registers, flags, low vectors and all
//! memory must be those of the native run at the same place, and the places must come in the same order. Engine, data and stack are
//! shared memory, so the parent reads what the child's engine knows.
//!
//! ```text
//!   PROGRAMS=n SEED=n ONLY=n MODE=shadow cargo test --release --test recovery -- --nocapture
//! ```

mod generate;
mod inside;

use iced_x86::{Code, Decoder, DecoderOptions, Formatter, IntelFormatter, Mnemonic};

use generate::Dice;
use generate::processor;
use generate::program::{Author, Program, Wish};
use generate::world::{self, STACK, World};
use inside::Inside;
use seal::abi::{self, user_regs};
use seal::emit::HostPc;
use seal::{recover, sys};

const PROGRAMS: u64 = 300;
const SEED: u64 = 2008;
const FLAGS: u64 = 0xcd5;
const DIRECTION: u64 = 0x400;
/// How many native places may lie between two that a thread is seen at: a jump that the fragment follows leaves no trace.
const SKIP_MAX: usize = 4;

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")))
}

// ---- a child that is stepped

const SIGTRAP: u64 = 5;
const SIGSTOP: u64 = 19;

struct Child {
    pid: u64,
}

enum Stop {
    Trap,
    Signal(u64),
    Gone,
}

impl Child {
    fn ptrace(&self, request: u64, address: u64, data: u64) -> i64 {
        const PTRACE: u64 = 101;
        sys::call(PTRACE, [request, self.pid, address, data, 0, 0])
    }

    fn wait(&self) -> Stop {
        const WAIT4: u64 = 61;
        let mut status = 0u32;
        let answer = sys::call(WAIT4, [self.pid, (&raw mut status) as u64, 0x4000_0000, 0, 0, 0]);
        assert_eq!(answer, self.pid as i64, "wait4");
        if status & 0xff != 0x7f {
            return Stop::Gone;
        }
        match u64::from(status >> 8) {
            SIGTRAP => Stop::Trap,
            signal => Stop::Signal(signal),
        }
    }

    fn go(&self) -> Stop {
        self.go_with(0)
    }

    fn go_with(&self, signal: u64) -> Stop {
        const TRAP_FLAG: u64 = 0x100;
        let mut regs = self.regs();
        regs[user_regs::EFLAGS] &= !TRAP_FLAG; // which the kernel leaves set where it has seen a popf
        self.ptrace(13, 0, regs.as_mut_ptr() as u64);
        self.ptrace(7, 0, signal);
        self.wait()
    }

    /// Go on to the next trap that the child runs into by itself.
    fn go_on(&self, what: &str) {
        match self.forward(self.go()) {
            Stop::Trap => {}
            Stop::Signal(signal) => {
                let rip = self.regs()[user_regs::RIP];
                panic!("{what}: signal {signal} at {rip:#x} {}", self.code(rip));
            }
            Stop::Gone => panic!("{what}: gone"),
        }
    }

    // The shadow's faults are the engine's to see to.
    fn forward(&self, mut stop: Stop) -> Stop {
        while let Stop::Signal(signal @ (7 | 11)) = stop
            && inside::mode() != abi::mode::NONE
        {
            self.ptrace(7, 0, signal);
            stop = self.wait();
        }
        stop
    }

    fn step(&self) -> Stop {
        self.ptrace(9, 0, 0);
        self.wait()
    }

    fn regs(&self) -> [u64; 27] {
        let mut regs = [0u64; 27];
        self.ptrace(12, 0, regs.as_mut_ptr() as u64);
        regs
    }

    // The FXSAVE image, without what XSAVE may or may not store.
    fn vectors(&self) -> [u64; 64] {
        let mut image = [0u64; 64];
        self.ptrace(14, 0, image.as_mut_ptr() as u64);
        image[0] &= 0xffff_ffff_ffff;
        image[1] = 0;
        image[2] = 0;
        image[3] &= 0xffff_ffff;
        image[52..].fill(0);
        image
    }

    /// Go on to `address`; answers false if something else came first.
    fn go_to(&self, address: u64) -> bool {
        self.go_to_with(address, 0)
    }

    fn go_to_with(&self, address: u64, signal: u64) -> bool {
        const INT3: u64 = 0xcc;
        let word = self.word(address);
        self.ptrace(4, address, word & !0xff | INT3);
        let stop = self.forward(self.go_with(signal));
        self.ptrace(4, address, word);
        let mut regs = self.regs();
        if !matches!(stop, Stop::Trap) || regs[user_regs::RIP] != address + 1 {
            return false;
        }
        regs[user_regs::RIP] = address;
        self.ptrace(13, 0, regs.as_mut_ptr() as u64);
        true
    }

    fn word(&self, address: u64) -> u64 {
        let mut word = 0u64;
        self.ptrace(1, address, (&raw mut word) as u64);
        word
    }

    fn code(&self, address: u64) -> String {
        let mut bytes = [0u8; 16];
        for at in 0..2 {
            bytes[at as usize * 8..][..8].copy_from_slice(&self.word(address + at * 8).to_le_bytes());
        }
        let instruction = Decoder::with_ip(64, &bytes, address, DecoderOptions::NONE).decode();
        let mut line = String::new();
        IntelFormatter::new().format(&instruction, &mut line);
        line
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        const KILL: u64 = 62;
        sys::call(KILL, [self.pid, 9, 0, 0, 0, 0]);
        while !matches!(self.wait(), Stop::Gone) {}
    }
}

fn trap() {
    // SAFETY: a parent is tracing, and takes the signal.
    unsafe { core::arch::asm!("int3") };
}

fn fork(work: impl FnOnce()) -> Child {
    const FORK: u64 = 57;
    let pid = sys::call(FORK, [0; 6]);
    assert!(pid >= 0);
    if pid == 0 {
        sys::call(101, [0; 6]); // PTRACE_TRACEME
        sys::call3(sys::TGKILL, sys::call(sys::GETPID, [0; 6]) as u64, sys::call(sys::GETTID, [0; 6]) as u64, SIGSTOP);
        work();
        sys::call(231, [0; 6]);
    }
    Child { pid: pid as u64 }
}

// ---- states

#[derive(Clone, PartialEq)]
struct Place {
    rip: u64,
    flags: u64,
    regs: [u64; 16],
    vectors: [u64; 64],
    memory: u64,
}

// Of data and stack: a sum in which every word counts by its place. `without`: the word that a call is about to write.
fn memory(without: u64) -> u64 {
    let mut sum = 0u64;
    for region in world::regions() {
        for (at, &word) in sys::words(region.begin, region.bytes as usize / 8).iter().enumerate() {
            let skip = region.begin + at as u64 * 8 == without & !7;
            sum = sum.wrapping_add((if skip { 0 } else { word }).wrapping_mul(0x9e37_79b9_7f4a_7c15 ^ (at as u64) << 1));
        }
    }
    sum
}

fn is(program: &Program, rip: u64, mnemonic: Mnemonic) -> bool {
    let text = program.texts.iter().find(|t| (t.base..t.here()).contains(&rip));
    text.is_some_and(|text| {
        let bytes = &text.bytes[(rip - text.base) as usize..];
        Decoder::with_ip(64, bytes, rip, DecoderOptions::NONE).decode().mnemonic() == mnemonic
    })
}

fn place(program: &Program, regs: &abi::Registers, rip: u64, flags: u64, vectors: [u64; 64]) -> Place {
    let mut regs = *regs;
    let without = if is(program, rip, Mnemonic::Call) { regs[abi::RSP] - 8 } else { 0 };
    if is(program, rip, Mnemonic::Syscall) {
        regs[abi::RCX] = 0; // the call destroys it
    }
    // The shadow's tests leave those flags alone that somebody reads.
    let seen = if inside::mode() == abi::mode::NONE { FLAGS } else { DIRECTION };
    Place { rip, flags: flags & seen, regs, vectors, memory: memory(without) }
}

fn general(regs: &[u64; 27]) -> abi::Registers {
    user_regs::ORDER.map(|at| regs[at])
}

#[derive(Default)]
struct Tally {
    programs: u64,
    abandoned: u64,
    native: u64,
    hosts: u64,
    gates: u64,
    wrong: u64,
}

// Step through the native run; answer every place that the program was at. None: it took a signal.
fn natively(child: &Child, program: &Program) -> Option<Vec<Place>> {
    let mut places = Vec::new();
    assert!(child.go_to(program.entry));
    loop {
        let regs = child.regs();
        let rip = regs[user_regs::RIP];
        if rip == world::store() {
            return Some(places);
        }
        assert!(program.holds(rip), "the program is at {rip:#x}");
        places.push(place(program, &general(&regs), rip, regs[user_regs::EFLAGS], child.vectors()));
        if !matches!(child.step(), Stop::Trap) {
            return None;
        }
    }
}

// Step through a run in the engine, and ask at every host instruction where the application is.
fn inside(child: &Child, program: &Program, inside: &Inside, native: &[Place], tally: &mut Tally, name: &str) {
    let service = inside.service();
    assert!(child.go_to(inside.context.enter));
    let mut at = 0usize;
    loop {
        let regs = child.regs();
        let host = HostPc(regs[user_regs::RIP]);
        let in_cache = service.peek(|thread| thread.arena_of(host).is_some());
        if !in_cache {
            if program.holds(host.0) {
                panic!("{name}: {:#x} runs natively", host.0);
            }
            if !child.go_to(inside.context.enter) {
                break; // at the trap behind the run
            }
            continue;
        }
        let entry = HostPc(host.0 - 1);
        if service.peek(|thread| thread.entered_at(entry).is_some_and(|f| thread.fragments[f as usize].dead)) {
            // What it has run into is the engine's mark on a fragment that is dead.
            assert!(child.go_to_with(inside.context.enter, SIGTRAP));
            continue;
        }
        let live = general(&regs);
        let context = sys::context((&raw const *inside.context) as u64);
        let (saved, rip, rflags) = (context.regs, context.rip, context.rflags);
        let near = live[abi::RSP] & !7;
        let window = STACK.holds(near.wrapping_sub(64)) && STACK.holds(near + 64);
        let words: Vec<u64> = if window { sys::words(near - 64, 16).to_vec() } else { Vec::new() };
        let taken = service.peek(|thread| recover::take(thread, context, &live, regs[user_regs::EFLAGS], host));
        if taken && program.holds(context.rip) {
            tally.hosts += 1;
            let now = place(program, &context.regs, context.rip, context.rflags, child.vectors());
            match (at.saturating_sub(1)..native.len().min(at + SKIP_MAX)).find(|&next| native[next] == now) {
                Some(next) => at = next + 1,
                None => {
                    tally.wrong += 1;
                    explain(child, program, service, native, at, &now, host, name);
                }
            }
        } else if !taken {
            tally.gates += 1;
        }
        context.regs = saved;
        context.rip = rip;
        context.rflags = rflags;
        if window {
            sys::words(near - 64, 16).copy_from_slice(&words);
        }
        if tally.wrong > 3 {
            return;
        }
        assert!(matches!(child.step(), Stop::Trap), "{name}: a signal inside");
    }
    if at != native.len() {
        println!("---- {name}: ended at place {at} of {}, before {:#x}", native.len(), native[at].rip);
        println!("{}", program.listing());
        tally.wrong += 1;
    }
}

#[allow(clippy::too_many_arguments)]
fn explain(
    child: &Child,
    program: &Program,
    service: &sys::Locked<seal::cache::Thread>,
    native: &[Place],
    at: usize,
    now: &Place,
    host: HostPc,
    name: &str,
) {
    println!("---- SEED={} {name}: at host {:#x} `{}`", setting("SEED").unwrap_or(SEED), host.0, child.code(host.0));
    service.peek(|thread| {
        if let Some(arena) = thread.arena_of(host) {
            let offset = (host.0 - arena.begin.0) as u32;
            if let Some(record) = arena.records.iter().rev().find(|r| r.host <= offset) {
                println!(
                    "  record at +{:#x}: kind {:#x}, pc {:#x}; host at +{offset:#x}, cold from +{:#x}",
                    record.host,
                    record.kind(),
                    record.pc().0,
                    arena.cold.0 - arena.begin.0
                );
            }
        }
    });
    let next = at.min(native.len() - 1);
    let nearest = (next.saturating_sub(2)..native.len().min(next + 3)).find(|&n| native[n].rip == now.rip).unwrap_or(next);
    let wanted = &native[nearest];
    println!("  recovered rip {:#x}, natively at {:#x} (place {nearest}, {at} was next)", now.rip, wanted.rip);
    for (number, (a, b)) in wanted.regs.iter().zip(&now.regs).enumerate() {
        if a != b {
            println!("  register {number}: {a:#x} natively, {b:#x} recovered");
        }
    }
    if wanted.flags != now.flags {
        println!("  flags: {:#x} natively, {:#x} recovered", wanted.flags, now.flags);
    }
    if wanted.memory != now.memory {
        println!("  memory differs; around rsp: {:x?}", sys::words((now.regs[abi::RSP] & !7) - 16, 4));
    }
    if wanted.vectors != now.vectors {
        println!("  vectors differ");
    }
    println!("{}", program.listing());
}

#[test]
fn every_host_address_gives_a_native_state() {
    generate::world::STEPPED.store(true, std::sync::atomic::Ordering::Relaxed);
    let seed = setting("SEED").unwrap_or(SEED);
    let programs = setting("PROGRAMS").unwrap_or(PROGRAMS);
    let only = setting("ONLY");
    let mut world = World::new();
    let processor = processor::explore(&mut world, seed, "");
    // The kernel does the first itself where they are forbidden (UMIP), and does not stop behind them; nor does the processor behind what
    // loads ss.
    let unstepped = [Mnemonic::Sgdt, Mnemonic::Sidt, Mnemonic::Sldt, Mnemonic::Str, Mnemonic::Smsw, Mnemonic::Lss];
    let loads_segment = [Code::Mov_Sreg_rm16, Code::Mov_Sreg_r32m16, Code::Mov_Sreg_r64m16];
    let is_stepped = |code: Code| !unstepped.contains(&code.mnemonic()) && !loads_segment.contains(&code);
    let kinds = processor.has.into_iter().filter(|kind| is_stepped(kind.code)).collect();
    let mut author = Author::new(kinds, Vec::new());
    generate::shuffle(&mut author.kinds, &mut Dice::new(seed, u64::MAX));
    let mut tally = Tally::default();
    for number in 0..programs {
        if !author.has_room() {
            author.rewind();
        }
        let mut dice = Dice::new(seed, number);
        world.shuffle(&mut dice);
        let wish = Wish {
            items: 3 + dice.below(12),
            faults_percent: 0,
            may_change_fs: true,
            system_calls: true,
            engine_calls: false,
            pushes_flags: false,
        };
        let program = author.write(&mut world, &mut dice, wish);
        if only.is_some_and(|o| o != number) {
            continue;
        }
        program.install(&world);
        tally.programs += 1;
        inside::with_shared(inside::mode(), |engine| {
            let child = fork(|| {
                trap();
                world.run_natively(program.entry);
                trap();
                for _ in 0..3 {
                    world.run_inside(engine, program.entry);
                    trap();
                }
            });
            assert!(matches!(child.wait(), Stop::Signal(SIGSTOP)));
            assert!(matches!(child.go(), Stop::Trap));
            let Some(native) = natively(&child, &program) else {
                tally.abandoned += 1;
                return;
            };
            tally.native += native.len() as u64;
            child.go_on(&format!("ONLY={number}: behind the native run"));
            child.go_on(&format!("ONLY={number}: behind the first in the engine, which translates"));
            for round in 1..3 {
                // The second run finds exits that lead to stubs, the third links.
                inside(&child, &program, engine, &native, &mut tally, &format!("ONLY={number} run {round}"));
                if tally.wrong != 0 {
                    break;
                }
            }
        });
        if tally.wrong > 3 {
            break;
        }
    }
    println!(
        "SEED={seed}: {} programs, {} abandoned for a signal; {} native places, {} host addresses asked, {} in gates",
        tally.programs, tally.abandoned, tally.native, tally.hosts, tally.gates
    );
    assert_eq!(tally.wrong, 0, "recovered states that the program never had");
}
