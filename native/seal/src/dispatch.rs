//! Between two fragments: why the last one was left, what is to be done about it, which comes next.

use alloc::boxed::Box;

use iced_x86::InstructionInfoFactory;

use crate::abi::{self, Context, RSP, mode, once, request, state, trouble};
use crate::cache::{self, ExitKind, Full, Thread, Understood};
use crate::emit::{GuestPc, HostPc};
use crate::transfer::{self, Through};
use crate::translate::{self, Refusal, Wish, Work};
use crate::{calls, dispositions, entry, flow, frames, pages, recover, shadow, signals, sinks, start, sys, track};

/// How the next address was come by, which decides what is linked.
#[derive(Clone, Copy)]
enum By {
    Exit(u32),
    Jump,
    Return,
    Table { table: u16, entry: u8 },
    Engine,
}

/// Called from the gate: the Context holds the application's registers and the exit.
pub extern "C" fn from_exit(context: &mut Context) {
    context.dispatches += 1;
    let by = match context.exit {
        cache::EXIT_RETURN_MISS => {
            context.rip = sys::read_guest_u64(context.regs[RSP]).unwrap_or(0);
            context.regs[RSP] += 8;
            By::Return
        }
        cache::EXIT_RETURN_ELSEWHERE => {
            context.branch = 0; // which one it was, nobody knows
            context.rip = sys::read_guest_u64(context.regs[RSP] - 8).unwrap_or(0);
            By::Return
        }
        cache::EXIT_JUMP_MISS | cache::EXIT_JUMP_ELSEWHERE => {
            if context.exit == cache::EXIT_JUMP_ELSEWHERE {
                context.branch = 0;
            }
            context.rip = context.target;
            By::Jump
        }
        id => {
            let Some(service) = sys::service(context) else { start::failed(format_args!("a thread without a record")) };
            let (kind, target, field) = service.with(|thread| {
                let exit = &thread.exits[id as usize];
                (exit.kind, exit.target, exit.field)
            });
            context.rip = target.0;
            match kind {
                ExitKind::Jump => By::Exit(id),
                ExitKind::Call => {
                    calls::make(context);
                    By::Engine
                }
                ExitKind::Fault => {
                    if pages::open_all() {
                        calls::again(context);
                    }
                    context.regs[abi::RCX] = context.rip;
                    By::Engine
                }
                ExitKind::Fpu | ExitKind::FpuWide => {
                    service.with(|thread| recover::mend_fpu(thread, context, kind == ExitKind::FpuWide));
                    context.resume = field.0;
                    return;
                }
                ExitKind::Table(number) => {
                    let register = service.with(|thread| usize::from(thread.tables[usize::from(number)].register));
                    let entry = context.regs[register];
                    context.regs[register] = sys::read_guest_u64(target.0 + 8 * entry).unwrap_or(0);
                    context.rip = context.regs[register];
                    By::Table { table: number, entry: entry as u8 }
                }
                ExitKind::Tagged => {
                    if !is_touched(context, service, id) {
                        context.once = once::UNTESTED;
                    }
                    By::Engine
                }
                ExitKind::Shadow => {
                    if !is_touched(context, service, id) {
                        context.resume = field.0;
                        return;
                    }
                    By::Engine
                }
                ExitKind::Follow => {
                    follow(context, service, id);
                    context.resume = field.0;
                    return;
                }
                ExitKind::Format => {
                    sinks::format(context);
                    context.resume = field.0;
                    return;
                }
                ExitKind::Often => {
                    track::see_whether_to_go_on(context);
                    By::Engine
                }
                ExitKind::Branch => {
                    if sinks::branch(context) {
                        track::see_whether_to_go_on(context);
                    } else {
                        context.once = once::WITHOUT_TAGS;
                    }
                    By::Engine
                }
                ExitKind::Segment => {
                    service.with(|thread| {
                        thread.fs_changes = true;
                        thread.flush();
                    });
                    By::Engine
                }
                ExitKind::Special => {
                    signals::special(context);
                    By::Engine
                }
            }
        }
    };
    go_on(context, by);
}

// In clean mode: whether the instruction that comes next touches what has a tag. If so tags are followed from there on; where tags are
// only tested for, those of what it writes are cleared.
fn is_touched(context: &mut Context, service: &sys::Locked<Thread>, exit: u32) -> bool {
    let follows = shadow::is_followed();
    let is_touched = with_understood(context, service, exit, |context, known| {
        let used = known.info.used_memory();
        let is_touched = shadow::is_touched(context, &known.instruction, used, follows);
        if !follows {
            shadow::clear_written(context, &known.instruction, used);
        }
        is_touched
    });
    context.tagged_reads += u64::from(is_touched);
    if follows && is_touched {
        track::begin(context);
    }
    follows && is_touched
}

// In tracking mode: see to the tags for the instruction that comes next.
fn follow(context: &mut Context, service: &sys::Locked<Thread>, exit: u32) {
    context.tracked += 1;
    with_understood(context, service, exit, |context, known| {
        sinks::store(context, known.info.used_memory());
        flow::follow(&known.instruction, &known.info, context);
        true
    });
}

// Do `work` with the instruction that comes next, where `exit` left. False: there is none.
fn with_understood(
    context: &mut Context,
    service: &sys::Locked<Thread>,
    exit: u32,
    work: impl FnOnce(&mut Context, &Understood) -> bool,
) -> bool {
    let kept = service.with(|thread| thread.understood(exit).take().filter(|known| known.exit == exit));
    let Some(known) = kept.or_else(|| understand(context.rip, exit)) else { return false };
    let answer = work(context, &known);
    service.with(|thread| *thread.understood(exit) = Some(known));
    answer
}

fn understand(pc: u64, exit: u32) -> Option<Box<Understood>> {
    let instruction = translate::decode_one(pc)?;
    let info = InstructionInfoFactory::new().info(&instruction).clone();
    Some(Box::new(Understood { exit, instruction, info }))
}

// What is done about tags from here on.
fn work(context: &Context) -> Work {
    match sys::mailbox().mode {
        mode::NONE => Work::Nothing,
        mode::TAINT if context.tracking != 0 => Work::Follow,
        _ => Work::Test,
    }
}

/// Called when the Context says where to go on and nothing else is known.
pub extern "C" fn again(context: &mut Context) {
    go_on(context, By::Engine);
}

fn go_on(context: &mut Context, mut by: By) {
    if matches!(by, By::Jump | By::Return) && recover::is_no_address(context.rip) {
        let branch = HostPc(context.branch);
        let pc = sys::service(context).and_then(|service| service.peek(|thread| recover::branch_at(thread, context, branch)));
        signals::cannot_branch(context, pc);
        by = By::Engine;
    }
    loop {
        if context.pending_signal != 0 {
            frames::deliver_pending(context);
            by = By::Engine;
        }
        if (context.request == request::PARK || sys::mailbox().park != 0) && context.moved == 0 {
            dispositions::block_all(); // one that came from here on would be forgotten
            if context.pending_signal != 0 {
                continue;
            }
            context.state = state::PARKED;
            entry::park();
            context.request = request::NOTHING; // nobody took us away
            context.state = state::RUNNING;
            dispositions::set_kernel_mask(context);
            continue;
        }
        if context.leave_at != 0 && context.rip == context.leave_at {
            context.state = state::LEFT;
            context.resume = context.rip;
            return;
        }
        let Some(service) = sys::service(context) else { start::failed(format_args!("a thread without a record")) };
        let outcome = service.with(|thread| next(thread, context, by));
        match outcome {
            Ok(host) => {
                context.resume = host;
                return;
            }
            Err(Refusal::Full(Full::Flush)) => {
                service.with(Thread::flush);
                by = By::Engine;
            }
            Err(Refusal::Full(Full::NoMemory)) => {
                // What is there must do: begin anew in it.
                sys::mailbox().trouble = trouble::NO_MEMORY;
                if !service.with(Thread::make_do) {
                    start::failed(format_args!("no memory for translated code"));
                }
                service.with(Thread::flush);
                by = By::Engine;
            }
            Err(Refusal::Tagged) => {
                sinks::code(context);
                by = By::Engine;
            }
            Err(refusal) => {
                if !calls::vsyscall(context) {
                    signals::cannot_execute(context, refusal);
                }
                by = By::Engine;
            }
        }
    }
}

// Find or make the fragment for the Context's address, and let what led here lead there next time.
fn next(thread: &mut Thread, context: &mut Context, by: By) -> Result<u64, Refusal> {
    let pc = GuestPc(context.rip);
    let work = work(context);
    let through = match by {
        By::Jump | By::Return if work == Work::Follow => Some(Through::Followed),
        By::Jump => Some(Through::Jumps),
        By::Return => Some(Through::Returns),
        By::Table { table, entry } => Some(Through::Table { table, entry }),
        By::Exit(_) | By::Engine => None,
    }
    .filter(|_| !cache::is_unlinked());
    let wanted_once = core::mem::replace(&mut context.once, 0);
    let untested = wanted_once == once::UNTESTED;
    let is_once = wanted_once != once::NO && !untested;
    if wanted_once == once::NO
        && context.tracking == 0
        && matches!(by, By::Return)
        && let Some(host) = thread.renew_landing(pc)
    {
        return Ok(host.0);
    }
    let found = match wanted_once {
        once::NO => thread.lookup(pc, work),
        once::UNTESTED => thread.untested.get(pc).filter(|&id| !thread.fragments[id as usize].dead),
        _ => None,
    }
    .filter(|&fragment| thread.is_current(fragment));
    let fragment = match found {
        Some(fragment) => fragment,
        None => {
            let alone = is_once || untested;
            let stale = thread.index_of(work).get(pc).filter(|_| !alone);
            let through = through.filter(|_| !alone);
            // What is made once and in clean mode has been tested already.
            let without = untested || wanted_once == once::WITHOUT_TAGS || is_once && work == Work::Test;
            let wish = Wish { pc, through, work: if without { Work::Nothing } else { work }, alone, once: is_once };
            let made = translate::translate(thread, wish).inspect_err(|_| context.once = wanted_once)?;
            if let Some(dead) = stale {
                thread.unlink(dead);
            }
            made
        }
    };
    match by {
        _ if thread.fragments[fragment as usize].copy.is_some() => {} // always by the dispatcher, which compares
        _ if cache::is_unlinked() => {}
        By::Exit(id) => thread.link(id, fragment),
        By::Jump | By::Return | By::Table { .. } if found.is_some() => {
            if let Some(through) = through {
                transfer::landing_to(thread, through, fragment).map_err(Refusal::Full)?;
            }
        }
        By::Jump | By::Return | By::Table { .. } | By::Engine => {}
    }
    Ok(thread.fragments[fragment as usize].host.0)
}
