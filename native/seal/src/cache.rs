//! The code caches of one thread: arenas of translated code, what is known of each fragment, the links between them.
//!
//! Owns what a fragment is and when it ends. Refuses to know how code is translated (`translate`) or why it became stale
//! (`pages`).
//!
//! ```text
//!   arena  | gates | fragments ──►            ◄── stubs, STUB_BYTES each |
//! ```
//! A stub is where an exit leads until it is linked. `Record`s, in the order of host addresses, say what the application's
//! state is at each of them: exactly, everywhere.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::ops::Range;

use iced_x86::{Instruction, InstructionInfo};

use crate::abi::{self, Context};
use crate::emit::{self, Code, GuestPc, HostPc, Operand};
use crate::index::{Index, VALUES_END};
use crate::sys;
use crate::tables::{self, Table};
use crate::transfer::Through;
use crate::translate::Work;
use crate::{entry, heap, pages, threads};

/// How large an arena is to be; less where there is no room for more.
const ARENA_BYTES: [u64; 3] = [8 << 20, 1 << 20, 1 << 18];
const ARENAS_MAX: usize = 12;
/// More threads have smaller ones: within reach of a library there is room for some 400 of the largest.
const THREADS_OF_LARGE_ARENAS: usize = 128;
/// What the kernel has above, the vsyscall page, is not translated.
const USER_END: u64 = 0x7fff_ffff_f000;
/// How far an arena may lie from the code that it translates, so that rip-relative operands of an image of up to 256 MiB stay direct.
const REACH: u64 = 0x7000_0000;
pub const STUB_BYTES: u64 = 24;
const GATES_BYTES: u64 = 256;
const ENTER_OFFSET: u64 = 192;
pub const ENTER_BYTES: u64 = 16;
const NOBODY: u32 = u32::MAX;
/// A thread that has made so many begins anew: most are dead by then, or will not be needed again.
const FRAGMENTS_MAX: usize = 60_000;
const EXITS_MAX: usize = 250_000;
const LANDINGS_MAX: usize = 120_000;
const _: () = assert!(FRAGMENTS_MAX < VALUES_END && LANDINGS_MAX + FRAGMENT_BYTES_MAX as usize / 8 < VALUES_END);
const UNDERSTOOD_MAX: usize = 512;
/// Fewer are not worth it, when the heap runs low.
const FRAGMENTS_WORTH_A_FLUSH: usize = 2_000;
/// What one fragment may need at the most, in code and in stubs.
pub const FRAGMENT_BYTES_MAX: u64 = 0x8000;

/// Exits that stand for no place of one fragment.
pub const EXIT_RETURN_MISS: u32 = 0xffff_0001; // the table knows no such return target; the return has not happened
pub const EXIT_JUMP_MISS: u32 = 0xffff_0002; // likewise of a jump
pub const EXIT_RETURN_ELSEWHERE: u32 = 0xffff_0003; // the table's entry was for another address; the return has happened
pub const EXIT_JUMP_ELSEWHERE: u32 = 0xffff_0004;

/// How to get from the registers at a host address to the application's.
pub mod kind {
    pub const VERBATIM: u32 = 1 << 0; // the application is as far behind `pc` as the host is behind the record
    pub const RCX: u32 = 1 << 1; // rcx is in the Context
    pub const RDX: u32 = 1 << 2; // rdx is in the Context
    pub const TABLE: u32 = 1 << 4; // a jump by a table at `pc` has happened, but for the register in bits 8 to 11, which is the index still
    pub const RETURNED: u32 = 1 << 3; // the application is at what the word below the stack pointer says
    pub const TARGET: u32 = 1 << 5; // the application is at `Context::target`
    pub const SCRATCH: u32 = 1 << 6; // the register in bits 8 to 11 is in `Context::spare`
    pub const FLAGS: u32 = 1 << 7; // the flags of arithmetic are in `Context::kept_flags`
    pub const SCRATCH_SHIFT: u32 = 8;
    pub const LANDED: u32 = 1 << 12; // with TARGET or RETURNED: `pc` is not that of the branch
    pub const CALLED: u32 = 1 << 13; // behind a system call: rcx is what the kernel would have left there
}

/// From `host` on, up to the next record. There are more of these than of anything: 12 bytes.
#[derive(Clone, Copy)]
pub struct Record {
    pub host: u32, // from the arena's begin
    pc_low: u32,
    kind_and_pc_high: u32, // 16 bits each: no address of code has more than 48
}

impl Record {
    fn new(host: u32, kind: u32, pc: GuestPc) -> Record {
        Record { host, pc_low: pc.0 as u32, kind_and_pc_high: kind << 16 | (pc.0 >> 32) as u32 & 0xffff }
    }

    pub fn kind(&self) -> u32 {
        self.kind_and_pc_high >> 16
    }

    pub fn pc(&self) -> GuestPc {
        GuestPc(u64::from(self.kind_and_pc_high & 0xffff) << 32 | u64::from(self.pc_low))
    }
}

/// How much room each of its lists has at the least, whatever memory there is: enough for one instruction at a time.
const FRAGMENTS_MIN: usize = 40;
const EXITS_MIN: usize = 100;
const LANDINGS_MIN: usize = 32;
const RECORDS_MIN: usize = 512;

pub struct Fragment {
    pub pc: GuestPc,
    pub low: GuestPc, // application code that it was made from lies in low..high
    pub high: GuestPc,
    pub host: HostPc,
    pub end: HostPc,
    pub incoming: u32,      // first exit that is linked to it
    pub relied: Range<u64>, // memory that must stay as it is besides
    pub dead: bool,
    pub copy: Option<Box<[u8]>>, // of code that may be changed unseen
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ExitKind {
    Jump,       // go on at `target`
    Call,       // the system call at `target` needs the engine
    Fault,      // the system call before `target` answered EFAULT
    Tagged,     // the instruction at `target`, or one soon after it, touches what has a tag
    Shadow,     // the tags for the instruction at `target` are the engine's to see to; on at `field`
    Segment,    // before `target` fs has got another base, and translated code knows the old one
    Special,    // the instruction at `target` needs the engine
    Branch,     // in tracking mode, the branch at `target` is to go where `Context::target` says
    Follow,     // likewise: the tags for the instruction at `target` are the engine's to see to; on at `field`
    Format,     // at `target` a function begins that takes a format string; on at `field`
    Often,      // in tracking mode: on at `target`, if tags are still to be followed
    Fpu,        // the instruction at `target` stores where the x87 unit has last been; on at `field`
    FpuWide,    // the same, in the 64-bit form
    Table(u16), // a jump by a table at `target`, through an entry that leads nowhere yet
}

pub struct Exit {
    pub kind: ExitKind,
    pub target: GuestPc,
    pub field: HostPc, // the rel32 that leads to the stub, or when linked to the fragment
    pub stub: HostPc,
    pub fragment: u32, // whom it is linked to
    pub next: u32,     // the next exit that is linked to the same fragment
}

pub struct Arena {
    pub begin: HostPc,
    pub bytes: u64,
    is_anywhere: bool, // not within reach of the code that it translates
    pub hot: HostPc,   // where the next fragment goes
    pub cold: HostPc,  // where the last stub begins
    pub records: Vec<Record>,
    pub stubs: Vec<u32>, // the exit of each stub, from the end of the arena down
    pub gate: HostPc,
    pub return_miss: HostPc,
    pub jump_miss: HostPc,
    pub return_elsewhere: HostPc,
    pub jump_elsewhere: HostPc,
}

impl Arena {
    pub fn holds(&self, host: HostPc) -> bool {
        host >= self.begin && host.0 < self.begin.0 + self.bytes
    }

    fn reaches(&self, pc: GuestPc) -> bool {
        let far = |at: u64| at.abs_diff(pc.0) < REACH;
        self.is_anywhere || far(self.begin.0) && far(self.begin.0 + self.bytes)
    }

    fn has_room(&self) -> bool {
        self.hot.0 + FRAGMENT_BYTES_MAX + 0x2000 < self.cold.0
    }

    /// Say what holds from `host` on. Records are made in the order of host addresses. Answers false if there is no room for it.
    #[must_use]
    pub fn record(&mut self, host: HostPc, kind: u32, pc: GuestPc) -> bool {
        let record = Record::new((host.0 - self.begin.0) as u32, kind, pc);
        if let Some(last) = self.records.last_mut().filter(|last| last.host == record.host) {
            *last = record;
            return true;
        }
        let has_room = heap::grow(&mut self.records);
        if has_room {
            self.records.push(record);
        }
        has_room
    }

    fn clear(&mut self) {
        self.hot = self.begin.offset(GATES_BYTES);
        self.cold = self.begin.offset(self.bytes);
        self.records.clear();
        self.stubs.clear();
    }
}

/// The instruction of an exit to the engine, whose tags it sees to again and again.
pub struct Understood {
    pub exit: u32,
    pub instruction: Instruction,
    pub info: InstructionInfo,
}

/// All that one thread's translation has. It is the thread's own, save that others may mark fragments dead, under its lock.
pub struct Thread {
    pub slot: u64,
    pub arenas: Vec<Arena>,
    pub fragments: Vec<Fragment>,
    pub exits: Vec<Exit>,
    pub index: Index,
    followed: Index,                          // of fragments that follow tags
    pub untested: Index,                      // of single instructions that need no test of clean mode
    landings: Vec<(HostPc, u32)>,             // of returns: where, and in which fragment
    landing_of: Index,                        // by the address that the call returns to
    pub tables: Vec<Table>,                   // that jumps choose from
    understood: Vec<Option<Box<Understood>>>, // of exits, by the low bits of their numbers
    pub scratch: crate::translate::Scratch,
    pub fs_changes: bool, // the thread has changed its base by an instruction, and may do so again
    pub has_bmi2: bool,   // shifts that leave flags alone
    pub is_starved: bool, // there is hardly any memory: one instruction at a time
    pub is_short: bool,   // something of what is being translated has found no room
    constants: u64,
    gate_constant: u64,
}

/// Whether nothing is to lead from fragment to fragment but the dispatcher.
pub fn is_unlinked() -> bool {
    sys::mailbox().unlinked != 0
}

/// Why code could not be placed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Full {
    Flush,    // all arenas are full: begin anew
    NoMemory, // the kernel gives no arena
}

impl Thread {
    pub fn new(slot: u64) -> Thread {
        let mut thread = Thread {
            slot,
            arenas: Vec::with_capacity(ARENAS_MAX), // never moved: others may add some, under the lock, while we look without it
            fragments: Vec::with_capacity(FRAGMENTS_MIN),
            exits: Vec::with_capacity(EXITS_MIN),
            index: Index::new(),
            followed: Index::new(),
            untested: Index::new(),
            landings: Vec::with_capacity(LANDINGS_MIN),
            landing_of: Index::new(),
            tables: Vec::new(),
            understood: Vec::new(),
            scratch: crate::translate::Scratch::new(),
            fs_changes: false,
            has_bmi2: sys::has_bmi2(),
            is_starved: false,
            is_short: false,
            constants: 0,
            gate_constant: 0,
        };
        thread.gate_constant = thread.constant(entry::gate()).unwrap_or(0);
        thread
    }

    pub fn context(&self) -> &'static mut Context {
        sys::context(self.slot)
    }

    /// Return the operand of a field of this thread's Context.
    pub fn field(&self, offset: usize) -> Operand {
        Operand::absolute(self.slot as u32 + offset as u32)
    }

    /// Return the operand of one of the two tables, indexed by rcx.
    pub fn table(&self, table: u64) -> Operand {
        Operand { base: None, index: Some(abi::RCX as u8), scale: 8, ..Operand::absolute((self.slot + table) as u32) }
    }

    /// Place a constant that code can reach by absolute address; answer the address.
    pub fn constant(&mut self, value: u64) -> Option<u64> {
        let address = self.constants(1)?;
        sys::set_constant(address, value);
        Some(address)
    }

    /// Return room for so many constants in a row.
    pub fn constants(&mut self, count: u64) -> Option<u64> {
        let address = self.slot + abi::SLOT_CONSTANTS + self.constants;
        self.constants += 8 * count;
        if self.constants > abi::SLOT_CONSTANTS_BYTES {
            self.constants -= 8 * count;
            return None;
        }
        Some(address)
    }

    /// Return the number of an arena with room, within reach of `pc`.
    pub fn arena_for(&mut self, pc: GuestPc) -> Result<usize, Full> {
        let mailbox = sys::mailbox();
        let heap_is_low = self.fragments.len() > FRAGMENTS_WORTH_A_FLUSH && heap::is_low();
        let many = self.fragments.len() >= FRAGMENTS_MAX || self.exits.len() >= EXITS_MAX || self.landings.len() >= LANDINGS_MAX;
        if self.constants + 0x800 > abi::SLOT_CONSTANTS_BYTES || many || heap_is_low {
            return Err(Full::Flush);
        }
        if let Some(number) = self.arenas.iter().position(|a| a.reaches(pc) && a.has_room()) {
            return Ok(number);
        }
        if self.arenas.len() >= ARENAS_MAX || mailbox.confined != 0 {
            // Where seccomp might forbid to map more, what the thread began with has to do.
            return Err(if self.has_arena_near(pc) { Full::Flush } else { Full::NoMemory });
        }
        self.add_arena(pc)
    }

    fn add_arena(&mut self, pc: GuestPc) -> Result<usize, Full> {
        let is_tight = heap::is_small() || threads::slots().nth(THREADS_OF_LARGE_ARENAS).is_some();
        let sizes = &ARENA_BYTES[usize::from(is_tight)..];
        let near = sizes.iter().find_map(|&bytes| Some((pages::map_near(pc.0, bytes, REACH - bytes)?, bytes, false)));
        // With no room within reach rip-relative operands go through a register, in an arena that serves all code.
        let anywhere = || Some((pages::map_anywhere(sizes[0])?, sizes[0], true));
        let (begin, bytes, is_anywhere) = near.or_else(anywhere).ok_or(Full::NoMemory)?;
        let arena = self.open(HostPc(begin), bytes, is_anywhere);
        self.arenas.push(arena);
        if self.arenas.len() == 1 {
            self.context().enter = begin + ENTER_OFFSET;
        }
        Ok(self.arenas.len() - 1)
    }

    /// Whether code at `pc` can be translated without another arena.
    pub fn has_arena_near(&self, pc: GuestPc) -> bool {
        self.arenas.iter().any(|arena| arena.reaches(pc))
    }

    /// Map arenas before they are asked for: one near this address, or those for all code that there is. Answers whether there is any now.
    pub fn provide(&mut self, for_all: bool, near: GuestPc) -> bool {
        let mut at = 0;
        while for_all && let Some(range) = pages::known(at) {
            for pc in [range.low, range.high] {
                if self.arenas.len() < ARENAS_MAX && pc < USER_END && !self.has_arena_near(GuestPc(pc)) {
                    let _ = self.add_arena(GuestPc(pc)); // those that find no room are not needed before their code runs
                }
            }
            at += 1;
        }
        !self.arenas.is_empty() || self.add_arena(near).is_ok()
    }

    /// No memory is left for an arena near some code: let those that there are serve all. Answers whether there are any.
    pub fn make_do(&mut self) -> bool {
        for arena in &mut self.arenas {
            arena.is_anywhere = true;
        }
        !self.arenas.is_empty()
    }

    // Write the gates of an arena: what all its stubs lead to.
    fn open(&self, begin: HostPc, bytes: u64, is_anywhere: bool) -> Arena {
        let end = begin.offset(bytes);
        let mut code = Code::new(begin, end);
        let save = self.field(core::mem::offset_of!(Context, regs) + 8 * abi::RCX);
        let exit = self.field(core::mem::offset_of!(Context, exit));
        let gate = code.here();
        code.op_reg_mem(false, &[0x89], abi::RCX as u8, &exit);
        code.mov_reg_const(abi::RCX, self.slot);
        code.jmp_mem(&Operand::absolute(self.gate_constant as u32));
        // The application's rcx is saved already. Behind a table's miss, rcx is the place of the branch.
        let branch = self.field(core::mem::offset_of!(Context, branch));
        let mut shared = |id: u32, missed: bool| {
            let at = code.here();
            if missed {
                code.mov_mem_reg(&branch, abi::RCX);
            }
            code.mov_reg_const(abi::RCX, u64::from(id));
            code.jmp(gate);
            at
        };
        let return_miss = shared(EXIT_RETURN_MISS, true);
        let jump_miss = shared(EXIT_JUMP_MISS, true);
        let return_elsewhere = shared(EXIT_RETURN_ELSEWHERE, false);
        let jump_elsewhere = shared(EXIT_JUMP_ELSEWHERE, false);
        let mut code = Code::new(begin.offset(ENTER_OFFSET), end);
        code.mov_reg_mem(abi::RCX, &save);
        code.jmp_mem(&self.field(core::mem::offset_of!(Context, resume)));
        Arena {
            begin,
            bytes,
            is_anywhere,
            hot: begin.offset(GATES_BYTES),
            cold: end,
            records: Vec::with_capacity(RECORDS_MIN),
            stubs: Vec::with_capacity(EXITS_MIN),
            gate,
            return_miss,
            jump_miss,
            return_elsewhere,
            jump_elsewhere,
        }
    }

    /// Make an exit, and its stub. `field` may be set later, when the branch to the stub is written. Where there is no room for one the
    /// fragment will not be kept, and any does.
    pub fn exit(&mut self, arena: usize, kind: ExitKind, target: GuestPc) -> (u32, HostPc) {
        let save = self.field(core::mem::offset_of!(Context, regs) + 8 * abi::RCX);
        let id = self.exits.len() as u32;
        let arena = &mut self.arenas[arena];
        if !heap::grow(&mut self.exits) || !heap::grow(&mut arena.stubs) {
            self.is_short = true;
            if let Some(last) = self.exits.last() {
                return (id - 1, last.stub);
            }
        }
        arena.cold = HostPc(arena.cold.0 - STUB_BYTES);
        arena.stubs.push(id);
        let stub = arena.cold;
        write_stub(stub, &save, id, arena.gate);
        self.exits.push(Exit { kind, target, field: HostPc::NONE, stub, fragment: NOBODY, next: NOBODY });
        (id, stub)
    }

    /// Let an exit lead straight to a fragment from now on.
    pub fn link(&mut self, exit: u32, fragment: u32) {
        let host = self.fragments[fragment as usize].host;
        let (field, stub) = (self.exits[exit as usize].field, self.exits[exit as usize].stub);
        if self.exits[exit as usize].fragment != NOBODY || field == HostPc::NONE {
            return;
        }
        if !emit::set_rel32(field, host) {
            let Some(cell) = self.constant(host.0) else { return };
            let mut code = Code::new(stub, stub.offset(STUB_BYTES));
            code.jmp_mem(&Operand::absolute(cell as u32));
        }
        self.exits[exit as usize].fragment = fragment;
        self.exits[exit as usize].next = self.fragments[fragment as usize].incoming;
        self.fragments[fragment as usize].incoming = exit;
    }

    /// Let all that leads to a dead fragment lead to its stubs again.
    pub fn unlink(&mut self, fragment: u32) {
        let save = self.field(core::mem::offset_of!(Context, regs) + 8 * abi::RCX);
        let mut id = core::mem::replace(&mut self.fragments[fragment as usize].incoming, NOBODY);
        while id != NOBODY {
            let exit = &mut self.exits[id as usize];
            exit.fragment = NOBODY;
            emit::set_rel32(exit.field, exit.stub);
            let stub = exit.stub;
            let next = core::mem::replace(&mut exit.next, NOBODY);
            if let Some(arena) = self.arenas.iter().find(|a| a.holds(stub)) {
                write_stub(stub, &save, id, arena.gate);
            }
            id = next;
        }
    }

    /// Whether a fragment is what its code says now. One that is not is dead from here on.
    pub fn is_current(&mut self, fragment: u32) -> bool {
        let fragment = &mut self.fragments[fragment as usize];
        let Some(copy) = &fragment.copy else { return true };
        let mut now = [0; 128];
        let mut at = 0;
        while at < copy.len() {
            let count = (copy.len() - at).min(now.len());
            if sys::read_guest(fragment.low.0 + at as u64, &mut now[..count]) != count || now[..count] != copy[at..at + count] {
                fragment.dead = true;
                return false;
            }
            at += count;
        }
        true
    }

    /// Where it is kept what is understood of an exit's instruction: of this one's or another's.
    pub fn understood(&mut self, exit: u32) -> Option<&mut Option<Box<Understood>>> {
        let place = exit as usize % UNDERSTOOD_MAX;
        while self.understood.len() <= place {
            if !heap::grow(&mut self.understood) {
                return None;
            }
            self.understood.push(None);
        }
        self.understood.get_mut(place)
    }

    /// Return the fragment whose entry is at `host`.
    pub fn entered_at(&self, host: HostPc) -> Option<u32> {
        self.fragments.iter().position(|f| f.host == host).map(|at| at as u32)
    }

    /// Let what comes to `pc` by one of the tables land at `host`, in that fragment.
    pub fn note_landing(&mut self, through: Through, pc: GuestPc, host: HostPc, fragment: u32) {
        if is_unlinked() {
            return;
        }
        if through == Through::Returns {
            // One that is not noted is one that nobody renews.
            if heap::grow(&mut self.landings) && self.landing_of.set(pc, self.landings.len() as u32) {
                self.landings.push((host, fragment));
            }
        }
        match through {
            Through::Table { table, entry } => tables::note(self, table, entry, host),
            _ => sys::set_table_entry(self.slot, through.table(), pc.0, host.0),
        }
    }

    /// Return where returns to `pc` land.
    pub fn landing(&self, pc: GuestPc) -> Option<HostPc> {
        let (host, fragment) = self.landings[self.landing_of.get(pc)? as usize];
        (!self.fragments[fragment as usize].dead).then_some(host)
    }

    /// Let returns to `pc` find their landing again, if there is one and its place is free.
    pub fn renew_landing(&mut self, pc: GuestPc) -> Option<HostPc> {
        let host = self.landing(pc).filter(|_| sys::table_entry(self.slot, abi::SLOT_RETURNS, pc.0) == 0)?;
        sys::set_table_entry(self.slot, abi::SLOT_RETURNS, pc.0, host.0);
        Some(host)
    }

    /// Where fragments that do this about tags are found.
    pub fn index_of(&mut self, work: Work) -> &mut Index {
        if work == Work::Follow { &mut self.followed } else { &mut self.index }
    }

    pub fn lookup(&self, pc: GuestPc, work: Work) -> Option<u32> {
        let index = if work == Work::Follow { &self.followed } else { &self.index };
        index.get(pc).filter(|&id| !self.fragments[id as usize].dead)
    }

    pub fn arena_of(&self, host: HostPc) -> Option<&Arena> {
        self.arenas.iter().find(|a| a.holds(host))
    }

    /// Make all fragments dead that come from `low..high`. May be called by another thread: then the owner may
    /// be running over them, and will, up to its next branch.
    pub fn kill(&mut self, low: u64, high: u64) {
        self.scratch.forget();
        tables::forget(self, low, high);
        for fragment in &mut self.fragments {
            let is_of = |begin, end| begin < high && end > low;
            if !fragment.dead && (is_of(fragment.low.0, fragment.high.0) || is_of(fragment.relied.start, fragment.relied.end)) {
                fragment.dead = true;
                emit::write_byte(fragment.host, emit::INT3);
                for table in [abi::SLOT_RETURNS, abi::SLOT_JUMPS, abi::SLOT_FOLLOWED] {
                    for target in fragment.low.0..=fragment.high.0.min(fragment.low.0 + 0x1_0000) {
                        sys::set_table_entry(self.slot, table, target, 0);
                    }
                }
            }
        }
    }

    /// Forget everything. The thread is in the engine, so nobody runs over it.
    pub fn flush(&mut self) {
        let context = self.context();
        context.flushes += 1;
        self.fragments.clear();
        self.exits.clear();
        self.index.clear();
        self.followed.clear();
        self.untested.clear();
        self.landings.clear();
        self.landing_of.clear();
        self.tables.clear();
        self.understood.clear();
        self.scratch.forget();
        self.is_short = false;
        self.constants = 8; // the gates' stays
        self.arenas.iter_mut().for_each(Arena::clear);
        if heap::is_low() || self.is_starved {
            self.shrink();
        }
        pages::discard(self.slot + abi::SLOT_RETURNS, abi::SLOT_VECTORS - abi::SLOT_RETURNS);
    }

    // Keep of each list the least.
    fn shrink(&mut self) {
        self.fragments.shrink_to(FRAGMENTS_MIN);
        self.exits.shrink_to(EXITS_MIN);
        self.landings.shrink_to(LANDINGS_MIN);
        self.understood.shrink_to(0);
        for arena in &mut self.arenas {
            arena.records.shrink_to(RECORDS_MIN);
            arena.stubs.shrink_to(EXITS_MIN);
        }
    }

    /// What is being translated has found no room. Begin anew, and if that has been done just now, with less at a time; answers if so.
    pub fn do_with_less(&mut self) -> bool {
        self.is_starved = self.fragments.is_empty() || self.is_starved && heap::is_low();
        self.flush();
        self.is_starved
    }

    /// The thread has ended, or is about to, in the engine: give back all that it has. Where a filter may forbid that, its arenas stay.
    pub fn give_back(&mut self) {
        self.flush();
        self.shrink();
        self.is_starved = false;
        if sys::mailbox().confined != 0 {
            return;
        }
        self.context().enter = 0;
        for arena in self.arenas.drain(..) {
            pages::unmap_own(arena.begin.0, arena.bytes);
        }
        pages::discard(self.slot + abi::SLOT_VECTORS, abi::SLOT_BYTES - abi::SLOT_VECTORS);
        sys::set_constant(self.gate_constant, entry::gate());
    }
}

fn write_stub(stub: HostPc, save: &Operand, id: u32, gate: HostPc) {
    let mut code = Code::new(stub, stub.offset(STUB_BYTES));
    code.mov_mem_reg(save, abi::RCX);
    code.mov_reg_const(abi::RCX, u64::from(id));
    code.jmp(gate);
}
