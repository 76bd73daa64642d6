//! Which tags a fragment tests, and where: each byte that it reads or writes once, where no flag lives, together with its neighbours.
//!
//! Owns what is known of addresses within a fragment. How a test is written is `shadow`'s.
//!
//! In clean mode a thread makes no tags: what has been found clean stays so up to the next call, system call or locked instruction. Those
//! divide a fragment into *regions*. Within a region an address is a sum of *roots*, values that registers had at some time, and a number;
//! two operands with the same roots lie as far from each other as their numbers. A test may stand at any step of its region at which
//! registers hold its roots: the tags lie in a window that is mapped as a whole, so it never faults, and a tag that is found too early only
//! means that the engine is asked too early. All is modulo 2 to the 32, as the window is.

use alloc::vec::Vec;

use iced_x86::{FlowControl, Instruction, Mnemonic, OpAccess, OpKind, Register, UsedMemory, UsedRegister};

use crate::abi::{RAX, RBP, RCX, RSP};
use crate::cache::Thread;
use crate::translate::{Scratch, Step, number};
use crate::{shadow, sys};

/// A test that `bytes` bytes (1, 2, 4 or 8) have no tag. The operand is the application's, below 2 to the 32.
#[derive(Clone, Copy)]
pub struct Test {
    pub base: Option<u8>,
    pub index: Option<u8>,
    pub scale: u8,
    pub displacement: i32,
    pub bytes: u32,
    pub fs: bool, // plus the base of fs, whatever it is by then; there is nothing else then
}

const TEST_BYTES_MAX: u32 = 8;

/// The root of what is a number alone.
const NO_ROOT: u16 = 0;

/// The low 32 bits of a register: those of its root, plus a number.
#[derive(Clone, Copy, Default)]
struct Value {
    root: u16,
    plus: i32,
}

impl Value {
    fn and(self, number: i32) -> Value {
        Value { plus: self.plus.wrapping_add(number), ..self }
    }
}

type Values = [Value; 16];

/// What an address is, but for a number.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Shape {
    base: u16,
    index: u16,
    scale: u8,
    fs: bool,
}

struct Planned {
    step: usize, // before which it stands
    shape: Shape,
    low: i32,
    bytes: u32,
}

struct Plan<'a> {
    steps: &'a [Step],
    values: Vec<Values>, // at each step's begin
    roots: u16,
    tests: Vec<Planned>,
    region: usize,   // its first step
    first: usize,    // its first test
    fs: Option<i32>, // its base, unless that changes
}

/// Plan the tests of the fragment that `thread.scratch` describes, which this thread will run.
pub fn plan(thread: &mut Thread) {
    let fs = (!thread.fs_changes).then(|| sys::fs_base() as i32);
    let Scratch { steps, info, tests, .. } = &mut thread.scratch;
    let mut plan =
        Plan { steps: &[], values: Vec::with_capacity(steps.len()), roots: NO_ROOT, tests: Vec::new(), region: 0, first: 0, fs };
    for step in steps.iter_mut() {
        let used = info.info(&step.instruction).used_memory();
        let summed = |m: &UsedMemory| m.segment() == Register::FS && [m.base(), m.index()] != [Register::None; 2];
        step.by_engine = shadow::is_for_engine(&step.instruction, used) || fs.is_none() && used.iter().any(summed);
    }
    plan.steps = steps;
    let mut values = Values::default();
    let mut fresh = true;
    for (at, step) in plan.steps.iter().enumerate() {
        if fresh {
            values = core::array::from_fn(|_| plan.root());
            plan.region = at;
            plan.first = plan.tests.len();
        }
        plan.values.push(values);
        let info = info.info(&step.instruction);
        if !step.by_engine {
            for memory in info.used_memory().iter().filter(|m| shadow::touches(m)) {
                let (shape, low) = plan.address(memory, &values);
                plan.need(at, shape, low, memory.memory_size().size() as u32);
            }
        }
        plan.go_on(&mut values, &step.instruction, info.used_registers());
        fresh = ends_region(step);
    }
    let mut planned = core::mem::take(&mut plan.tests);
    planned.sort_by_key(|test| test.step);
    tests.clear();
    tests.extend(planned.iter().map(|test| plan.written(test)));
    let mut at = 0;
    for (number, step) in steps.iter_mut().enumerate() {
        step.tests_at = at as u16;
        at += planned[at..].iter().take_while(|test| test.step == number).count();
        step.tests_end = at as u16;
    }
}

fn ends_region(step: &Step) -> bool {
    let follows = match step.instruction.flow_control() {
        FlowControl::Next | FlowControl::ConditionalBranch => true,
        FlowControl::UnconditionalBranch => step.followed,
        _ => false,
    };
    // What another thread hands over is taken by a locked instruction.
    let exchanges = step.instruction.mnemonic() == Mnemonic::Xchg && step.instruction.op_kind(0) == OpKind::Memory;
    let moves_fs = step.instruction.mnemonic() == Mnemonic::Wrfsbase;
    !follows || step.instruction.has_lock_prefix() || exchanges || moves_fs
}

impl Plan<'_> {
    fn root(&mut self) -> Value {
        self.roots += 1;
        Value { root: self.roots, plus: 0 }
    }

    fn address(&self, memory: &UsedMemory, values: &Values) -> (Shape, i32) {
        let is_fs = memory.segment() == Register::FS;
        let segment = self.fs.filter(|_| is_fs).unwrap_or(0);
        let displacement = segment.wrapping_add(memory.displacement() as i32);
        let (shape, low) = sum(memory.base(), memory.index(), memory.scale(), displacement, values);
        (Shape { fs: is_fs && self.fs.is_none(), ..shape }, low)
    }

    // These bytes must have no tag at step `at`.
    fn need(&mut self, at: usize, shape: Shape, low: i32, bytes: u32) {
        let mut open = !0u64 >> (64 - bytes);
        for test in self.tests[self.first..].iter().filter(|test| test.shape == shape) {
            open &= !bits(test.low.wrapping_sub(low), test.bytes);
        }
        while open != 0 {
            let first = open.trailing_zeros();
            let piece = open & bits(first as i32, TEST_BYTES_MAX);
            open &= !piece;
            self.test(at, shape, low.wrapping_add(first as i32), u64::BITS - piece.leading_zeros() - first);
        }
    }

    fn test(&mut self, at: usize, shape: Shape, low: i32, bytes: u32) {
        for test in self.tests[self.first..].iter_mut().rev().filter(|test| test.shape == shape) {
            let begin = test.low.wrapping_sub(low).min(0); // as seen from `low`
            let end = i64::from(test.low.wrapping_sub(low)) + i64::from(test.bytes);
            let span = end.max(i64::from(bytes)) - i64::from(begin);
            if span <= i64::from(TEST_BYTES_MAX) {
                test.low = low.wrapping_add(begin);
                test.bytes = (span as u32).next_power_of_two();
                return;
            }
        }
        let step = self.place(at, shape);
        self.tests.push(Planned { step, shape, low, bytes: bytes.next_power_of_two() });
    }

    // The nearest step at which no flag lives, with no branch between; if there is none, the step itself.
    fn place(&self, at: usize, shape: Shape) -> usize {
        let mut place = at;
        loop {
            if self.steps[place].live == 0 {
                return place;
            }
            let barred =
                place == self.region || self.steps[place - 1].instruction.flow_control() == FlowControl::ConditionalBranch;
            if barred || self.registers(place - 1, shape).is_none() {
                return at;
            }
            place -= 1;
        }
    }

    // Registers that make up a shape at a step, and by how much their sum is too large.
    fn registers(&self, step: usize, shape: Shape) -> Option<(Option<u8>, Option<u8>, i32)> {
        let (base, more) = self.holder(step, shape.base, false)?;
        let (index, times) = self.holder(step, shape.index, true)?;
        Some((base, index, more.wrapping_add(times.wrapping_mul(i32::from(shape.scale)))))
    }

    // Not rcx if another will do: it may be in the Context.
    fn holder(&self, step: usize, root: u16, as_index: bool) -> Option<(Option<u8>, i32)> {
        if root == NO_ROOT {
            return Some((None, 0));
        }
        let values = &self.values[step];
        let fits = |&register: &usize| values[register].root == root && !(as_index && register == RSP);
        let register = (0..16).filter(|&r| r != RCX).chain([RCX]).find(fits)?;
        Some((Some(register as u8), values[register].plus))
    }

    fn written(&self, test: &Planned) -> Test {
        let (base, index, more) = self.registers(test.step, test.shape).unwrap_or_default();
        let Shape { scale, fs, .. } = test.shape;
        Test { base, index, scale, displacement: test.low.wrapping_sub(more), bytes: test.bytes, fs }
    }

    // Let `values` be what they are behind an instruction.
    fn go_on(&mut self, values: &mut Values, instruction: &Instruction, used: &[UsedRegister]) {
        let before = *values;
        for register in used.iter().filter(|used| !matches!(used.access(), OpAccess::Read | OpAccess::CondRead | OpAccess::None))
        {
            if let Some(register) = number(register.register()) {
                values[usize::from(register)] = self.root();
            }
        }
        if let Some((register, value)) = known(instruction, &before) {
            values[register] = value;
        }
        let pops_stack = instruction.mnemonic() == Mnemonic::Pop && instruction.op0_register().full_register() == Register::RSP;
        match instruction.stack_pointer_increment() {
            0 => {}
            _ if pops_stack => {}
            bytes => values[RSP] = before[RSP].and(bytes),
        }
        if instruction.mnemonic() == Mnemonic::Leave {
            values[RSP] = before[RBP].and(8);
        }
    }
}

// Bits `from` to `from + count`, as far as there are such.
fn bits(from: i32, count: u32) -> u64 {
    let all = u128::MAX >> (128 - count);
    match from {
        0..64 => (all << from) as u64,
        -63..0 => (all >> -from) as u64,
        _ => 0,
    }
}

fn sum(base: Register, index: Register, scale: u32, displacement: i32, values: &Values) -> (Shape, i32) {
    let value = |register: Register| number(register).map_or(Value::default(), |register| values[usize::from(register)]);
    let (mut base, mut index) = (value(base), value(index));
    let mut scale = scale as u8;
    let low = displacement.wrapping_add(base.plus).wrapping_add(index.plus.wrapping_mul(i32::from(scale)));
    if index.root == NO_ROOT || scale == 1 && base.root == NO_ROOT {
        base = if index.root == NO_ROOT { base } else { index };
        index = Value::default();
        scale = 1;
    }
    (Shape { base: base.root, index: index.root, scale, fs: false }, low)
}

// A register that an instruction leaves with a value that is known, as far as its low 32 bits go.
fn known(instruction: &Instruction, before: &Values) -> Option<(usize, Value)> {
    if instruction.mnemonic() == Mnemonic::Cdqe {
        return Some((RAX, before[RAX]));
    }
    let of = |register: Register| {
        let wide = register.is_gpr32() || register.is_gpr64();
        number(register).filter(|_| wide).map(usize::from)
    };
    if instruction.op_count() == 0 || instruction.op0_kind() != OpKind::Register {
        return None;
    }
    let to = of(instruction.op0_register())?;
    let from = || if instruction.op1_kind() == OpKind::Register { of(instruction.op1_register()) } else { None };
    let immediate = || {
        let is_immediate = matches!(
            instruction.op1_kind(),
            OpKind::Immediate32 | OpKind::Immediate64 | OpKind::Immediate8to32 | OpKind::Immediate8to64 | OpKind::Immediate32to64
        );
        is_immediate.then(|| instruction.immediate(1) as i32)
    };
    let value = match instruction.mnemonic() {
        Mnemonic::Mov | Mnemonic::Movsxd => match from() {
            Some(from) => before[from],
            None => Value::default().and(immediate()?),
        },
        Mnemonic::Xor | Mnemonic::Sub if from() == Some(to) => Value::default(),
        Mnemonic::Add => before[to].and(immediate()?),
        Mnemonic::Sub => before[to].and(immediate()?.wrapping_neg()),
        Mnemonic::Inc => before[to].and(1),
        Mnemonic::Dec => before[to].and(-1),
        Mnemonic::Lea => {
            let (base, index) = (instruction.memory_base(), instruction.memory_index());
            let displacement = instruction.memory_displacement64() as i32;
            let (shape, plus) = sum(base, index, instruction.memory_index_scale(), displacement, before);
            if shape.index != NO_ROOT {
                return None;
            }
            Value { root: shape.base, plus }
        }
        _ => return None,
    };
    Some((to, value))
}
