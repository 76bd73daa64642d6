//! Between two fragments: why the last one was left, what is to be done about it, which comes next.

use crate::abi::{self, Context, RSP, mode, request, state, trouble};
use crate::cache::{self, ExitKind, Full, Thread};
use crate::emit::GuestPc;
use crate::lower::{self, Through};
use crate::translate::{self, Refusal, Wish};
use crate::{calls, entry, pages, signals, start, sys};

/// How the next address was come by, which decides what is linked.
#[derive(Clone, Copy)]
enum By {
    Exit(u32),
    Jump,
    Return,
    Engine,
}

/// Called from the gate: the Context holds the application's registers and the exit.
pub extern "C" fn from_exit(context: &mut Context) {
    context.dispatches += 1;
    let by = match context.exit {
        cache::EXIT_RETURN_MISS => {
            context.regs[RSP] += 8;
            context.rip = context.target;
            By::Return
        }
        cache::EXIT_RETURN_ELSEWHERE => {
            context.rip = context.target;
            sys::write_guest_u64(context.regs[RSP] - 8, context.target);
            By::Return
        }
        cache::EXIT_JUMP_MISS | cache::EXIT_JUMP_ELSEWHERE => {
            context.rip = context.target;
            By::Jump
        }
        id => {
            let Some(service) = sys::service(context) else { start::failed(format_args!("a thread without a record")) };
            let (kind, target) = service.with(|thread| {
                let exit = &thread.exits[id as usize];
                (exit.kind, exit.target)
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
                ExitKind::Special => {
                    signals::special(context);
                    By::Engine
                }
            }
        }
    };
    go_on(context, by);
}

/// Called when the Context says where to go on and nothing else is known.
pub extern "C" fn again(context: &mut Context) {
    go_on(context, By::Engine);
}

fn go_on(context: &mut Context, mut by: By) {
    loop {
        if context.pending_signal != 0 {
            signals::deliver_pending(context);
            by = By::Engine;
        }
        if context.request == request::PARK {
            context.state = state::PARKED;
            entry::park();
            context.request = request::NOTHING; // nobody took us away
            context.state = state::RUNNING;
            continue;
        }
        if context.rip == context.leave_at {
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
                // What is there must do: begin anew in it. Without any there is no going on in here.
                sys::mailbox().trouble = trouble::NO_MEMORY;
                if service.with(|thread| thread.arenas.is_empty()) {
                    start::failed(format_args!("no memory for translated code"));
                }
                service.with(Thread::flush);
                by = By::Engine;
            }
            Err(refusal) => {
                if !calls::vsyscall(context) {
                    signals::cannot_execute(context, refusal == Refusal::Unreadable);
                }
                by = By::Engine;
            }
        }
    }
}

// Find or make the fragment for the Context's address, and let what led here lead there next time.
fn next(thread: &mut Thread, context: &mut Context, by: By) -> Result<u64, Refusal> {
    let pc = GuestPc(context.rip);
    let once = core::mem::replace(&mut context.once, 0) != 0;
    let found = if once { None } else { thread.lookup(pc) };
    let fragment = match found {
        Some(fragment) => fragment,
        None => {
            let stale = thread.index.get(pc).filter(|_| !once);
            let wish = Wish { pc, jumped: !once && matches!(by, By::Jump), shadow: sys::mailbox().mode == mode::SHADOW, once };
            let made = translate::translate(thread, wish)?;
            if let Some(dead) = stale {
                thread.unlink(dead);
            }
            made
        }
    };
    match by {
        By::Exit(id) => thread.link(id, fragment),
        By::Jump if found.is_some() => {
            lower::landing_to(thread, Through::Jumps, fragment).map_err(Refusal::Full)?;
        }
        By::Return => {
            lower::landing_to(thread, Through::Returns, fragment).map_err(Refusal::Full)?;
        }
        By::Jump | By::Engine => {}
    }
    Ok(thread.fragments[fragment as usize].host.0)
}
